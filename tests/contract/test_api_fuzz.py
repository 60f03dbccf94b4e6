"""schemathesis against our own OpenAPI document: never a 5xx, and every refusal is a problem document."""

import asyncio
import base64
import threading
import time

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings

from gateway.app import create_app, create_worker, open_services
from gateway.plugins import discover
from gateway.settings import Settings
from gateway.storage import migrate

HOST_KEY = "host-key-for-fuzzing-0123456789abcdef"


class Served:
    """A gateway on a loopback port, in a thread with an event loop of its own."""

    def __init__(self, database_url):
        self.settings = Settings(
            database_url=database_url,
            host_keys=[HOST_KEY],
            secret_keys=["k1:" + base64.urlsafe_b64encode(b"f" * 32).decode()],
            allow_local_targets=True,
        )
        self.server = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self):
        await migrate.upgrade(self.settings.database_url)
        environ = {"GATEWAY_PIPEDRIVE_CLIENT_ID": "id", "GATEWAY_PIPEDRIVE_CLIENT_SECRET": "secret"}
        nowhere = httpx.MockTransport(lambda request: httpx.Response(503))
        async with open_services(
            self.settings,
            environ=environ,
            integrations=discover(),
            vendor_transport=nowhere,
            webhook_transport=nowhere,
        ) as services:
            app = create_app(services, worker=create_worker(services))
            config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on", ws="none")
            self.server = uvicorn.Server(config)
            await self.server.serve()

    def __enter__(self):
        self.thread.start()
        while self.server is None or not self.server.started:
            assert self.thread.is_alive(), "the server ended before it served"
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Served(f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/gateway.db") as url:
        headers = {"authorization": f"Bearer {HOST_KEY}"}
        account = httpx.put(f"{url}/v1/accounts/acme", json={"name": "Acme"}, headers=headers)
        assert account.status_code < 300, account.text
        yield url


@pytest.fixture(scope="module")
def api_schema(served):
    return schemathesis.openapi.from_url(f"{served}/schema/openapi.json")


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_gateway_fail(case):
    response = case.call(headers={"authorization": f"Bearer {HOST_KEY}"})
    assert response.status_code < 500, f"{case.method} {case.formatted_path}: {response.status_code} {response.text}"
    if response.status_code >= 400:
        assert response.headers["content-type"][0].startswith("application/problem+json"), response.text
        assert response.json()["code"]
