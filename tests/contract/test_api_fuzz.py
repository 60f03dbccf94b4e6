"""schemathesis against our own OpenAPI document: never a 5xx, and every refusal is a problem document."""

import asyncio
import base64
import threading
import time
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings, strategies

from gateway.app import create_app, create_worker, open_services
from gateway.plugins import discover
from gateway.settings import Settings
from gateway.storage import migrate

HOST_KEY = "host-key-for-fuzzing-0123456789abcdef"
HEADERS = {"authorization": f"Bearer {HOST_KEY}"}


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
        with httpx.Client(base_url=url, headers=HEADERS) as api:
            campaign = {"name": "Spring", "state": "live", "link_template": "https://refer.example/{code}"}
            for path, body in {
                "/v1/accounts/acme": {"name": "Acme"},
                "/v1/accounts/acme/campaigns/spring": campaign,
            }.items():
                assert api.put(path, json=body).is_success
        yield url


SCHEMA = schemathesis.openapi.from_path(Path(__file__).parents[2] / "schemas" / "openapi.json")
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
FOR_BROWSERS = {"GET /v1/oauth/{integration}/callback"}
KNOWN = {"account": "acme", "campaign": "spring", "role": "referred", "integration": "pipedrive"}


# schemathesis draws from `random` inside its strategies; that is between it and hypothesis
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_no_request_makes_the_gateway_fail(operation, served):
    @given(case=operation.as_strategy(), known=strategies.booleans())
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def send(case, known):
        if known:
            case.path_parameters.update({name: value for name, value in KNOWN.items() if name in case.path_parameters})
        answer = case.call(base_url=served, headers=HEADERS)
        told = f"{case.method} {answer.request.url} {case.body!r}: {answer.status_code} {answer.text}"
        assert answer.status_code < 500, told
        if answer.status_code >= 400 and operation.label not in FOR_BROWSERS:
            assert answer.headers["content-type"][0].startswith("application/problem+json"), told
            assert answer.json()["code"], told

    send()
