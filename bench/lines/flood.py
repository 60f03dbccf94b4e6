"""One account floods the gateway: how long another one waits for its answer, and for its signup to be in the CRM."""

import asyncio
import time

import httpx

from bench.callers import call
from bench.lines import Setting
from bench.measuring import Figure, percentile
from bench.world import AUTHORISED, CAMPAIGN, World, a_signup, free_port, seed, serving, serving_vendor

LIST = 200
VENDOR_SECONDS = 0.05
"""What a call of the vendor takes."""


async def measure(setting: Setting) -> list[Figure]:
    """Sign up one person at a time at one account: alone, then while another account sends lists without a pause."""
    world = await seed(await setting.databases.new("sqlite"), free_port(), tenants=2)
    number = setting.size(20, 2)
    with serving_vendor(world.vendor_port, VENDOR_SECONDS):
        async with serving(world, with_worker=True) as (port, _):
            alone = await _signups(world, port, number)
            flood = asyncio.create_task(_flood(world, port, setting.size(40, 2), setting.size(LIST, 5)))
            await asyncio.sleep(0.2)
            beside = await _signups(world, port, number)
            flood.cancel()
    return [
        Figure(
            line="flood", what=f"{percent} {words}, ms, {when}", database="SQLite", better="less",
            value=1000 * percentile([one[place] for one in found], float(percent[1:])),
        )
        for place, words in ((0, "of an answer"), (1, "until it is in the CRM"))
        for when, found in (("alone", alone), ("beside a flood of another account", beside))
        for percent in ("p50", "p95")
    ]  # fmt: skip


async def _flood(world: World, port: int, lists: int, size: int) -> None:
    answers = await call(port, lambda: world.batch(size, world.accounts[1]), callers=4, total=lists)
    answers.demand(202)


async def _signups(world: World, port: int, number: int) -> list[tuple[float, float]]:
    """Return the seconds of each until it was answered, and until it was delivered."""
    account = f"/v1/accounts/{world.accounts[0]}"
    found = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTHORISED, timeout=60) as api:
        for _ in range(number):
            began = time.perf_counter()
            answer = await api.post(f"{account}/campaigns/{CAMPAIGN}/signups", json=a_signup())
            answered = time.perf_counter() - began
            person = answer.raise_for_status().json()["results"][0]["person"]
            while (await api.get(f"{account}/people/{person}")).json()["crm"] != "linked":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            found.append((answered, time.perf_counter() - began))
    return found
