"""A gateway with toys, and browsers without scripts before it."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from ..flows.toys import Vendor, form_toy, open_gateway, toy  # noqa: TID252 - folders of tests are no packages
from .browsing import Browser


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
