"""The vendor's own client (npm ``pipedrive``) against the sandbox on a loopback port.

Needs Node and ``npm ci`` in ``official-client``; skipped elsewhere, and always where ``CI`` is set.
"""

import asyncio
import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import uvicorn

from gateway_pipedrive.sandbox import create_sandbox

FOLDER = Path(__file__).parent / "official-client"

pytestmark = [
    pytest.mark.skipif(os.environ.get("CI", "").lower() not in {"", "0", "false"}, reason="CI runs no Node"),
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "pipedrive").is_dir(),
        reason="The vendor's client is not installed; run `npm ci` in tests/sandbox/official-client",
    ),
]


@pytest.fixture
async def walked():
    """Serve a sandbox, let the client walk through a referral, return the sandbox and what the client saw."""
    sandbox = create_sandbox()
    server = uvicorn.Server(uvicorn.Config(sandbox.app, log_level="error", lifespan="off", ws="none"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {
            "link": sandbox.demo.person_fields["Referral Link"].code,
            "code": sandbox.demo.deal_fields["Referral Code"].code,
        }
        node = await asyncio.create_subprocess_exec(
            "node",
            "walk.mjs",
            base,
            json.dumps(settings),
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                out, err = await node.communicate()
        finally:
            server.should_exit = True
            await serving
    assert node.returncode == 0, err.decode()
    return sandbox, base, settings, json.loads(out)


async def test_the_vendors_client_walks_through_a_referral(walked):
    sandbox, base, settings, seen = walked
    demo = sandbox.demo
    assert seen["state"] == "s1"
    assert seen["token"]["api_domain"] == base
    assert seen["basePath"] == f"{base}/api/v2"
    assert seen["me"]["company_id"] == demo.company.id
    assert [one["name"] for one in seen["stages"]] == list(demo.stages)
    assert settings["link"] in {one["field_code"] for one in seen["personFields"]}
    assert settings["code"] in {one["key"] for one in seen["leadFields"]}
    assert [one["name"] for one in seen["filters"]] == ["Customers"]
    assert seen["updated"]["custom_fields"][settings["link"]] == "https://refer.test/a"
    assert seen["walked"] == [1, 2, 3, 4]
    assert [one["item"]["id"] for one in seen["found"]] == [seen["person"]["id"]]
    assert seen["lead"][settings["code"]] == "REF1"
    assert seen["note"]["lead_id"] == seen["lead"]["id"]
    assert seen["conversion"]["status"] == "completed"
    assert seen["deal"]["source_lead_id"] == seen["lead"]["id"]
    assert seen["deal"]["custom_fields"][settings["code"]] == "REF1"
    assert seen["won"]["status"] == "won"
    assert seen["byField"] == [{"id": seen["deal"]["id"], "name": "Lead"}]
    assert [one["id"] for one in seen["hooks"]] == [seen["hook"]["id"]]
    assert sandbox.subscriptions() == []
    assert seen["refused"]["unknownKey"]["code"] == "ERR_SCHEMA_VALIDATION_FAILED"
    assert seen["refused"]["leadGone"]["error"] == "requested lead not found"
    assert seen["refused"]["badLead"]["error_info"] == '"owner_id" must be a number'
    assert seen["refreshed"]["refresh_token"] == seen["token"]["refresh_token"]
    assert seen["refused"]["afterRevoke"]["errorCode"] == 401
    agents = {entry.headers.get("user-agent", "") for entry in sandbox.requests(path="/persons")}
    assert agents == {"Pipedrive-SDK-Javascript-33.7.0"}
