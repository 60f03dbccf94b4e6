"""The Zapier app, run by Zapier's own core, against a gateway on a loopback port.

Needs Node 20 or newer and ``npm ci`` in ``zapier-app``. It is skipped elsewhere, but never where
``GATEWAY_REQUIRE_NODE`` is set: there a missing Node fails.
"""

import asyncio
import base64
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.app import create_app, create_worker, open_services
from gateway.flows.notify.notify import NewEvent, publish
from gateway.settings import Settings
from gateway.storage import migrate

APP = Path(__file__).parents[1] / "zapier-app"
HOST_KEY = "host-key-for-tests-0123456789abcdef"
CAMPAIGN = {
    "name": "Refer a Neighbour",
    "state": "live",
    "link_template": "https://refer.example.com/{code}",
    "fields": [{"key": "message", "label": "Message"}],
    "rewards": [{"kind": "fixed", "amount": "50.00", "currency": "USD"}],
}
TIMEOUT_SECONDS = 300


def missing() -> str | None:
    """What these tests lack on this machine."""
    if shutil.which("node") is None:
        return "Node is not installed"
    if not (APP / "node_modules" / "zapier-platform-core").is_dir():
        return "Zapier's core is not installed; run `npm ci` in plugins/zapier/zapier-app"
    return None


@pytest.fixture(autouse=True)
def node():
    lacking = missing()
    if lacking is not None and os.environ.get("GATEWAY_REQUIRE_NODE", "") not in ("", "0"):
        pytest.fail(f"{lacking}, and GATEWAY_REQUIRE_NODE asks for it")
    if lacking is not None:
        pytest.skip(lacking)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """Serve a gateway with its worker; yield its base URL."""
    settings = Settings(
        database_url=f"sqlite:///{folder / 'gateway.db'}",
        host_keys=[HOST_KEY],
        secret_keys=["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
        allow_local_targets=True,
    )
    await migrate.upgrade(settings.database_url)
    environ = {"GATEWAY_ZAPIER_TARGET_HOSTS": "127.0.0.1", "GATEWAY_ZAPIER_ENVIRONMENT": "testing"}
    async with open_services(settings, environ=environ) as services:
        app = create_app(services, worker=create_worker(services))

        async def with_problems(scope: Any, receive: Any, send: Any) -> None:
            """Serve the gateway, and one path that brings a problem about as a CRM would."""
            if scope["type"] == "http" and scope["path"] == "/testing/problem":
                data = {"connection": "con_1", "integration": "crm", "state": "needs_reauth", "identity": "7",
                        "name": "Acme CRM", "reason": "Consent was withdrawn"}  # fmt: skip
                new = [NewEvent("connection.needs_reauth", "acme", None, data)]
                now = services.clock.now()
                await services.database.writer.run(lambda conn: publish(conn, new, now))
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await app(scope, receive, send)

        # on a busy machine a test may pause for as long as uvicorn keeps a connection, and then meet it as it closes
        config = uvicorn.Config(with_problems, log_level="error", lifespan="on", ws="none", timeout_keep_alive=300)
        server = uvicorn.Server(config)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            running = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running


async def connected(base: str) -> str:
    """Make account and campaign, connect Zapier, and return the key as the person gets it."""
    async with httpx.AsyncClient(base_url=base, headers={"authorization": f"Bearer {HOST_KEY}"}) as host:

        async def call(method: str, path: str, body: Any) -> Any:
            answer = await host.request(method, path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        await call("PUT", "/v1/accounts/acme", {"name": "Acme", "currency": "USD"})
        await call("PUT", "/v1/accounts/acme/campaigns/spring", CAMPAIGN)
        made = await call("POST", "/v1/accounts/acme/connections", {"integration": "zapier"})
        return str(made["key"]["key"])


async def run_node(*arguments: str, **environ: str) -> tuple[int, str]:
    """Run Node in the app's folder; return its exit code and all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        cwd=APP,
        env={**os.environ, "NODE_ENV": "test", **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return process.returncode or 0, out.decode()


@pytest.mark.parametrize("topic", ["lint", "auth", "triggers", "creates", "searches", "errors"])
async def test_the_app_with_zapiers_own_core(topic: str, tmp_path: Path):
    async with serving(tmp_path) as base:
        key = await connected(base)
        code, out = await run_node(
            "--test",
            "--test-reporter=tap",
            f"test/{topic}.test.js",
            GATEWAY_URL=base,
            ZAPIER_KEY=key,
            HOST_KEY=HOST_KEY,
            ACCOUNT="acme",
            CAMPAIGN="spring",
        )
    assert code == 0, out
    print(out)  # noqa: T201 - `pytest -s` shows each of its tests
    assert re.search(r"^# pass [1-9]", out, re.MULTILINE), out
    assert re.search(r"^# skipped 0$", out, re.MULTILINE), out


async def test_the_node_that_runs_it_is_new_enough():
    code, out = await run_node("--version")
    assert code == 0
    assert int(out.removeprefix("v").partition(".")[0]) >= 20, f"Node {out.strip()} is too old; install 20 or newer"


def test_every_test_file_of_the_app_is_run_here():
    ran = {"lint", "auth", "triggers", "creates", "searches", "errors"}
    assert {path.name.removesuffix(".test.js") for path in (APP / "test").glob("*.test.js")} == ran
