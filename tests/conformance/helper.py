"""An automation without a vendor, and the toy CRM with calls for the app as a whole."""

import hashlib
import hmac
import json
import types
from typing import Any

import httpx

from gateway import hookimpl
from gateway.plugins import Integration, Registry
from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import Uninstalled
from gateway.sdk.routes import Route
from gateway.testing.driver import NoVendor
from gateway.testing.world import Subject
from gateway_acme import sandbox
from gateway_acme.sandbox.driver import AcmeDriver
from gateway_schemas.manifest import Manifest, NoAuth

APP_SECRET = b"the vendor's and ours"
MANIFEST = Manifest(
    key="helper",
    name="Helper",
    category="automation",
    spec_version=1,
    logo_svg="<svg/>",
    summary="Hands events on.",
    auth=NoAuth(),
    connect_steps=[],
)


def shaped(event):
    return {"id": event.id, "type": event.type, "person": event.data.get("person"), "reason": event.data.get("reason")}


def automation(*, shape=shaped, sample=shaped, scope="read") -> Subject:
    async def samples(connection, call):
        found = await connection.host.recent_events(call.query["type"])
        return [sample(event) for event in found]

    hooks = {
        "describe": lambda: MANIFEST,
        "shape_event": lambda connection, event, endpoint: shape(event),
        "routes": lambda: [
            Route(
                method="GET",
                path="samples",
                scope=scope,
                handler=samples,
                returns=list[dict[str, Any]],
                query={"type": "Which events."},
            )
        ],
    }

    class Driver(NoVendor):
        def samples(self, event_type):
            return f"samples?type={event_type}" if event_type.startswith(("signup.", "referral.")) else None

    def registry() -> Registry:
        module = types.ModuleType("gateway_helper")
        for name, function in hooks.items():
            setattr(module, name, hookimpl(function, specname=name))
        return Registry([Integration("helper", module)])

    return Subject("helper", registry, types.SimpleNamespace(driver=lambda **_: Driver()))


class CallingDriver(AcmeDriver):
    """Acme, had it a webhook URL for the app as a whole."""

    def __init__(self, vendor: Any, http: httpx.AsyncClient) -> None:
        super().__init__(vendor)
        self._calls, self._url = http, ""

    def set_app_url(self, url: str) -> None:
        self._url = url

    async def call_app(self) -> None:
        body = json.dumps({"tenant": self.vendor.tenant}).encode()
        proof = hmac.new(APP_SECRET, body, hashlib.sha256).hexdigest()
        await self._calls.post(self._url, content=body, headers={"x-acme-signature": proof})


def calling_sandbox() -> Any:
    def driver(*, clock: Any, http: httpx.AsyncClient, gateway_url: str) -> CallingDriver:
        return CallingDriver(sandbox.Vendor(clock, http), http)

    return types.SimpleNamespace(driver=driver)


def verify_app_call(settings, request):
    wanted = hmac.new(APP_SECRET, request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get("x-acme-signature", ""), wanted):
        raise InvalidSignature("not the vendor")


def read_app_call(settings, request):
    return [Uninstalled(identity=json.loads(request.body)["tenant"])]


APP_CALLS = {"verify_app_call": verify_app_call, "read_app_call": read_app_call}
