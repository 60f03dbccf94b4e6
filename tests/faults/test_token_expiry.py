"""A token that expires for 200 callers of four processes at once, at a vendor that takes each refresh token once."""

import asyncio
import json
from datetime import timedelta

import msgspec
import pytest

from .stage import ACCOUNT, fork_server, open_stage

PROCESSES, CALLERS = 4, 50


@pytest.fixture
async def stage(database_url, tmp_path):
    options = {"rotate_refresh_tokens": True}
    async with fork_server() as forks, open_stage(database_url, tmp_path, forks=forks, **options) as one:
        yield one


async def test_it_is_refreshed_once_and_nobody_uses_a_refresh_token_again(stage):
    (connection,) = (await stage.api.get(f"/v1/accounts/{ACCOUNT}/connections")).json()["data"]
    stage.services.clock.advance(timedelta(hours=2))
    stage.crm.advance(7_200)
    before = len(stage.crm.sandbox.requests(path="/oauth/token"))
    pids, files = [], []
    for number in range(PROCESSES):
        files.append(stage.folder / f"tokens{number}")
        asked = {
            "connection": connection["id"], "callers": CALLERS, "answers": str(files[-1]),
            "offset": stage.services.clock.offset.total_seconds(),
        }  # fmt: skip
        arguments = [msgspec.json.encode(asked).decode()]
        log = stage.folder / "tokens.log"
        pids.append(await stage.forks.fork("tests.faults.dying:refresh", arguments, stage.environ, log))
    for pid in pids:
        while (standing := await stage.forks.wait(pid, nohang=True)) == {"runs": True}:
            await asyncio.sleep(0.05)
        assert standing == {"ended": 0}, (stage.folder / "tokens.log").read_text()[-3000:]
    tokens = [token for file in files for token in json.loads(file.read_text())]
    assert len(tokens) == PROCESSES * CALLERS
    assert len(set(tokens)) == 1
    asked = stage.crm.sandbox.requests(path="/oauth/token")[before:]
    assert [one.status for one in asked] == [200]
    assert (await stage.api.get(f"/v1/connections/{connection['id']}")).json()["state"] == "active"
