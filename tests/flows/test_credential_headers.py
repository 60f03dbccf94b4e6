"""An API key that a person pastes goes with every call of the connection, and into no log."""

from contextlib import AsyncExitStack

import httpx
import pytest

from gateway.flows.connections.opening import open_connection
from gateway.sdk.errors import ReauthRequired
from gateway.storage import connections
from gateway_schemas.connection import VendorAccount
from gateway_schemas.manifest import ConnectStep, CredentialHeader, Credentials, StepField

from .test_opening import Run
from .toys import Vendor, manifest, open_gateway, plugin

KEY = "key-0123456789"


class KeyVendor(Vendor):
    """Says who asks by an API key in a header; remembers the headers of each call."""

    def __init__(self):
        super().__init__()
        self.headers = []
        self.key = KEY

    def api(self, request):
        self.headers.append(request.headers)
        if request.headers.get("x-api-key") != self.key or request.headers.get("authorization") != f"Token {self.key}":
            return httpx.Response(401, json={"error": "unauthorized"})
        return httpx.Response(200, json={"tenant": "77", "key": request.headers["x-api-key"]})


def key_toy():
    """A tenant id, then an API key that the vendor wants in two headers."""

    def form(key, label):
        return ConnectStep(key=key, kind="form", title=label, fields=[StepField(key=key, label=label, secret=True)])

    headers = [
        CredentialHeader(name="X-Api-Key", field="api_key"),
        CredentialHeader(name="Authorization", field="api_key", prefix="Token "),
    ]

    async def verify(connection, step):
        if step == "tenant":
            return VendorAccount(identity=connection.credentials["tenant"], name="Key")
        me = (await connection.http.get("https://api.key.test/me")).json()
        return VendorAccount(identity=me["tenant"], name="Key")

    described = manifest(
        "key",
        auth=Credentials(headers=headers),
        connect_steps=[form("tenant", "Tenant"), form("api_key", "API key")],
    )
    return plugin("key", describe=lambda: described, verify_connection=verify)


@pytest.fixture
async def gateway(sqlite_url, clock):
    async with AsyncExitStack() as stack:
        gateway = await open_gateway(stack, sqlite_url, clock, KeyVendor(), [key_toy()])
        await gateway.account()
        yield gateway


@pytest.fixture
async def path(gateway):
    started = await gateway.begin(integration="key")
    path = f"/v1/connections/{started['id']}"
    await gateway.call("POST", f"{path}/steps/tenant", {"values": {"tenant": "77"}})
    return path


def pasting(gateway, path, value, **expected):
    return gateway.call("POST", f"{path}/steps/api_key", {"values": {"api_key": value}}, **expected)


async def test_the_key_goes_with_the_check_and_with_every_call_afterwards(gateway, path):
    done = await pasting(gateway, path, f" {KEY} ")
    assert done["state"] == "active"
    async with gateway.services.database.read() as conn:
        row = await connections.get(conn, done["id"])
    opened = await open_connection(gateway.services, row)
    for method in ("GET", "POST"):
        await opened.http.with_base("https://other.key.test").request(method, "/deals")
    assert len(gateway.vendor.headers) == 3


async def test_the_key_stands_in_no_log(gateway, path):
    done = await pasting(gateway, path, KEY)
    async with gateway.services.database.read() as conn:
        row = await connections.get(conn, done["id"])
    run = Run()
    opened = await open_connection(gateway.services, row, run=run)
    await opened.http.post("https://api.key.test/echo", json={"note": KEY})
    assert len(run.excerpts) == 1
    assert KEY not in run.excerpts[0]
    assert KEY not in repr(opened)


async def test_a_wrong_key_is_told_beside_its_field_and_the_right_one_may_follow(gateway, path):
    problem = await pasting(gateway, path, "wrong-key-0123", expect=422)
    assert [one["field"] for one in problem["problems"]] == ["values.api_key"]
    assert (await pasting(gateway, path, KEY))["state"] == "active"


@pytest.mark.parametrize("value", ["key\r\nX-Other: 1", "schlüssel-123", "key\x7f-123456", "k\u200bey-123456"])
async def test_a_value_that_no_header_can_carry_is_refused_before_it_is_sent(gateway, path, value):
    before = len(gateway.vendor.calls)
    problem = await pasting(gateway, path, value, expect=422)
    assert [one["field"] for one in problem["problems"]] == ["values.api_key"]
    assert "copy it again" in problem["problems"][0]["message"]
    assert len(gateway.vendor.calls) == before


async def test_a_key_that_the_vendor_takes_back_asks_for_another(gateway, path):
    done = await pasting(gateway, path, KEY)
    async with gateway.services.database.read() as conn:
        row = await connections.get(conn, done["id"])
    opened = await open_connection(gateway.services, row)
    gateway.vendor.key = "another"
    with pytest.raises(ReauthRequired):
        await opened.http.get("https://api.key.test/me")
