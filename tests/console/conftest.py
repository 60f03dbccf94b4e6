"""A gateway with toys, and browsers before it: without scripts, or a real one."""

import os
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import async_playwright

from ..flows.toys import Vendor, form_toy, open_gateway, toy  # noqa: TID252 - folders of tests are no packages
from .browsing import Browser
from .live import WANTED, chromium
from .windows import PATIENCE, Window


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages do not depend on the kind of database; what they read does, and is tested where it is written."""
    return sqlite_url


@pytest.fixture
async def gateway(database_url: str, clock: Any):
    async with AsyncExitStack() as stack:
        gateway = await open_gateway(stack, database_url, clock, Vendor(), [toy(), form_toy()])
        await gateway.account("acme")
        await gateway.account("bravo")
        yield gateway


@pytest.fixture
async def new_browser(gateway):
    made: list[Browser] = []

    def make(**options: Any) -> Browser:
        made.append(Browser(gateway.app, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def browser(gateway, new_browser) -> Browser:
    """A browser in which the console of ``acme`` is open."""
    return await opened(gateway, new_browser())


async def opened(gateway: Any, browser: Browser, account: str = "acme") -> Browser:
    link = (await gateway.call("POST", f"/v1/accounts/{account}/sessions"))["url"]
    await browser.go(link)
    await browser.press("Open the console")
    return browser


@pytest.fixture
async def chrome():
    """A browser; where none is installed the tests are skipped, unless they are required."""
    path = chromium()
    if path is None:
        message = "no Chromium found: install one (Debian: apt-get install chromium), or name it in GATEWAY_CHROMIUM"
        if os.environ.get(WANTED) == "1":
            pytest.fail(message)
        pytest.skip(message)
    async with async_playwright() as tool:
        browser = await tool.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        await browser.close()


@pytest.fixture
async def new_window(chrome: Any, world: Any):
    """Make windows of the browser before ``world``; in the end nothing may have gone wrong in any of them."""
    contexts = []
    windows = []

    async def make(context: Any = None, **options: Any) -> Window:
        if context is None:
            context = await chrome.new_context(viewport={"width": 1180, "height": 760}, **options)
            context.set_default_timeout(PATIENCE)
            contexts.append(context)
        window = Window(await context.new_page(), (world.url, world.crm_url, world.site_url))
        windows.append(window)
        return window

    yield make
    for window in windows:
        window.check()
    for context in contexts:
        await context.close()
