"""Toy integrations, one for each way to connect, their fake vendor, and a gateway around them."""

import base64
import json
import types
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import msgspec

from gateway import hookimpl
from gateway.app import create_app, create_worker, open_services
from gateway.plugins import Integration, Registry
from gateway.sdk.errors import Problem as FieldError
from gateway.sdk.errors import Rejected
from gateway.sdk.inbound import Uninstalled, require_basic_auth
from gateway.settings import Settings
from gateway_schemas.connection import Limitation, VendorAccount
from gateway_schemas.manifest import ConnectStep, Credentials, Manifest, NoAuth, OAuth2, RateBudget, StepField

HOST_KEY = "host-key-for-tests-0123456789abcdef"
PUBLIC = "https://gateway.test"


class OAuthSettings(msgspec.Struct):
    client_id: str
    client_secret: str
    oauth_url: str = "https://login.toy.test"
    api_url: str = "https://api.toy.test"


class FormSettings(msgspec.Struct):
    auth_url: str = "https://login.form.test"


def manifest(key: str, **changes: Any) -> Manifest:
    values = {
        "key": key,
        "name": key.title(),
        "category": "crm",
        "spec_version": 1,
        "logo_svg": "<svg/>",
        "summary": "A toy.",
        "allowed_hosts": [f".{key}.test"],
        "rate_budget": RateBudget(burst_calls=50, burst_seconds=1, daily=10_000),
    }
    return Manifest(**{**values, **changes})


def plugin(key: str, **hooks: Any) -> Integration:
    module = types.ModuleType(key)
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function, specname=name))
    return Integration(key, module, distribution=f"gateway-{key}", version="1.0")


async def verify_by_me(connection, step):
    me = (await connection.http.get("/me")).json()
    return VendorAccount(identity=me["company"], name=me["name"], user=me["user"], currency="EUR")


async def remove_hooks(connection):
    await connection.http.delete("/hooks")
    return {"removed": ["Two webhooks."], "by_hand": []}


def verify_app_call(settings, request):
    require_basic_auth(request, settings.client_id, settings.client_secret)


def read_app_call(settings, request):
    said = json.loads(request.body)
    return [Uninstalled(identity=str(said["company"]), user=str(said["user"]) if "user" in said else None)]


def toy(key: str = "toy", **changes: Any) -> Integration:
    """An OAuth integration in one step; Marketplace installs reach it too."""
    auth = OAuth2(
        authorize_path="/authorize",
        token_path="/token",
        revoke_path="/revoke",
        base_url_setting="oauth_url",
        client_id_setting="client_id",
        client_secret_setting="client_secret",
        required_scopes=["base", "deals"],
        optional_scopes={"hooks": Limitation(code="no_webhooks", message="Changes are seen late.")},
        host_suffixes=["toy.test"],
        uninstall_by_callback=True,
        installs_without_state=True,
    )
    steps = [ConnectStep(key="authorise", kind="redirect", title="Authorise", instructions=["Click Allow."])]
    described = manifest(key, auth=auth, connect_steps=steps, **{"allowed_hosts": [".toy.test"], **changes})
    return plugin(
        key,
        describe=lambda: described,
        settings_type=lambda: OAuthSettings,
        verify_connection=verify_by_me,
        disconnect=remove_hooks,
        verify_app_call=verify_app_call,
        read_app_call=read_app_call,
    )


def form_toy(key: str = "form", **changes: Any) -> Integration:
    """A tenant id, the operator's approval, then the credentials: three steps of two kinds."""
    steps = [
        ConnectStep(
            key="tenant",
            kind="form",
            title="Tenant",
            fields=[StepField(key="tenant", label="Tenant id", pattern=r"[0-9]+", help="Digits only.")],
        ),
        ConnectStep(key="approval", kind="approval", title="Approval", instructions=["This takes a day."]),
        ConnectStep(
            key="finalise",
            kind="form",
            title="Finalise",
            fields=[
                StepField(key="client_id", label="Client id"),
                StepField(key="client_secret", label="Client secret", secret=True),
            ],
        ),
    ]

    async def verify(connection, step):
        tenant = connection.credentials["tenant"]
        if step == "tenant":
            return VendorAccount(identity=tenant, name=f"Tenant {tenant}")
        me = (await connection.http.get("https://api.form.test/me")).json()
        if me["tenant"] != tenant:
            message = "These credentials are another tenant's."
            raise Rejected(message, [FieldError(field="values.client_id", message=message)])
        return VendorAccount(identity=tenant, name=me["name"])

    auth = Credentials(token_path="/token", base_url_setting="auth_url")
    described = manifest(key, auth=auth, connect_steps=steps, **{"allowed_hosts": [".form.test"], **changes})
    return plugin(key, describe=lambda: described, settings_type=lambda: FormSettings, verify_connection=verify)


def approved_toy(key: str) -> Integration:
    """Nothing but the operator's approval."""
    steps = [ConnectStep(key="approval", kind="approval", title="Approval")]
    described = manifest(key, auth=NoAuth(), connect_steps=steps)
    return plugin(key, describe=lambda: described)


def own_key_toy(key: str = "zap") -> Integration:
    """An automation without any step."""
    described = manifest(key, category="automation", auth=NoAuth(), connect_steps=[], rate_budget=None)
    return plugin(key, describe=lambda: described)


class Vendor:
    """The vendor behind the toys: tokens that rotate and punish reuse, an API that says who asks."""

    def __init__(self) -> None:
        self.company, self.name, self.user = "c1", "Acme Inc", "u1"
        self.scope = "base,deals hooks"
        self.expires_in = 3600
        self.api_domain = "https://acme.toy.test"
        self.tenants = {"cid": "77"}
        self.secret = "very-secret-value"
        self.refresh_tokens: dict[str, str] = {}  # live token -> company
        self.access_tokens: dict[str, str] = {}
        self.dead: set[str] = set()
        self.serial = 0
        self.calls: list[tuple[str, str]] = []
        self.token_calls: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.down = False
        self.answers: list[httpx.Response | Exception] = []
        self.transport = httpx.MockTransport(self.handle)

    def count(self, grant: str) -> int:
        return sum(1 for one in self.token_calls if one.get("grant_type") == grant)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.calls.append((request.method, f"{request.url.host}{request.url.path}"))
        if self.down:
            raise httpx.ConnectError("down", request=request)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.url.path == "/token":
            return self.token(request)
        if request.url.path == "/revoke":
            form = dict(parse_qsl(request.content.decode()))
            self.revoked.append(form["token"])
            self.refresh_tokens.pop(form["token"], None)
            return httpx.Response(200)
        return self.api(request)

    def token(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode()))
        self.token_calls.append(form)
        if form["grant_type"] == "client_credentials":
            if form["client_secret"] != self.secret or form["client_id"] not in self.tenants:
                return httpx.Response(400, json={"error": "invalid_client"})
            return httpx.Response(
                200, json={"access_token": self.new_access(self.tenants[form["client_id"]]), "expires_in": 900}
            )
        expected = "Basic " + base64.b64encode(b"toy-client:toy-secret").decode()
        if request.headers.get("authorization") != expected:
            return httpx.Response(400, json={"error": "Invalid client: unknown"})
        if form["grant_type"] == "authorization_code":
            if not form["code"].startswith("good"):
                return httpx.Response(
                    400, json={"success": False, "message": "Invalid grant: authorization_code is invalid"}
                )
            return self.new_tokens()
        live = self.refresh_tokens.pop(form["refresh_token"], None)
        if live is None:
            self.refresh_tokens.clear()  # reuse is punished: the whole family dies
            return httpx.Response(400, json={"error": "invalid_grant"})
        return self.new_tokens()

    def new_access(self, company: str) -> str:
        self.serial += 1
        token = f"access-token-{self.serial}"
        self.access_tokens[token] = company
        return token

    def new_tokens(self) -> httpx.Response:
        access = self.new_access(self.company)
        refresh = f"refresh-token-{self.serial}"
        self.refresh_tokens[refresh] = self.company
        body = {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": self.expires_in,
            "scope": self.scope,
            "api_domain": self.api_domain,
        }
        return httpx.Response(200, json=body)

    def api(self, request: httpx.Request) -> httpx.Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        company = self.access_tokens.get(token)
        if company is None or token in self.dead:
            return httpx.Response(401, json={"error": "unauthorized"})
        if request.url.host == "api.form.test":
            return httpx.Response(200, json={"tenant": company, "name": f"Tenant {company}"})
        if request.url.path == "/me":
            return httpx.Response(200, json={"company": company, "name": self.name, "user": self.user})
        return httpx.Response(200, json={"ok": True})


class Gateway:
    """One process of a gateway with toys, and what people do with it."""

    def __init__(self, services, app, worker, vendor):
        self.services, self.app, self.worker, self.vendor = services, app, worker, vendor
        self.clock = services.clock
        self.browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC)

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = HOST_KEY, expect: int | None = None
    ) -> Any:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        response = await self.browser.request(method, path, json=body, headers=headers)
        assert response.status_code == expect if expect else response.is_success, (
            f"{response.status_code} {response.text}"
        )
        return response.json() if response.content else None

    async def account(self, account: str = "acme") -> None:
        await self.call("PUT", f"/v1/accounts/{account}", {"name": account.title(), "currency": "EUR"})

    async def begin(
        self, account: str = "acme", integration: str = "toy", expect: int = 201, **more: Any
    ) -> dict[str, Any]:
        body = {"integration": integration, **more}
        return await self.call("POST", f"/v1/accounts/{account}/connections", body, expect=expect)

    async def back(
        self, started: dict[str, Any], code: str = "good", integration: str = "toy", **more: str
    ) -> httpx.Response:
        """Come back from the vendor with the state of what was started."""
        state = parse_qs(urlsplit(started["next_step"]["url"]).query)["state"][0]
        return await self.landing({"code": code, "state": state, **more}, integration)

    async def landing(self, query: dict[str, str], integration: str = "toy") -> httpx.Response:
        return await self.browser.get(f"/v1/oauth/{integration}/callback", params=query)

    async def connect(self, account: str = "acme") -> str:
        started = await self.begin(account)
        page = await self.back(started)
        assert page.status_code == 200, page.text
        return started["id"]

    async def connection(self, connection_id: str) -> dict[str, Any]:
        return await self.call("GET", f"/v1/connections/{connection_id}")

    async def events(self, prefix: str = "connection.") -> list[str]:
        """Types of the events so far, oldest first."""
        await self.worker.drain()
        found = await self.call("GET", "/v1/events?after=0&limit=200")
        return [event["type"] for event in found["data"] if event["type"].startswith(prefix)]

    async def uninstall(
        self, company: str = "c1", *, proof: str = "toy-client:toy-secret", **more: Any
    ) -> httpx.Response:
        basic = "Basic " + base64.b64encode(proof.encode()).decode()
        content = json.dumps({"company": company, **more})
        return await self.browser.request(
            "DELETE", "/v1/oauth/toy/callback", content=content, headers={"authorization": basic}
        )


def settings_for(database_url: str, **changes: Any) -> Settings:
    values = {
        "database_url": database_url,
        "public_url": PUBLIC,
        "host_keys": [HOST_KEY],
        "secret_keys": ["k1:" + base64.urlsafe_b64encode(b"0" * 32).decode()],
        "support_contact": "support@referrals.example",
        "console_origins": ["https://console.example"],
    }
    return Settings(**{**values, **changes})


ENVIRON = {"GATEWAY_TOY_CLIENT_ID": "toy-client", "GATEWAY_TOY_CLIENT_SECRET": "toy-secret"}


async def open_gateway(
    stack: AsyncExitStack,
    database_url: str,
    clock: Any,
    vendor: Vendor,
    integrations: list[Integration],
    **changes: Any,
) -> Gateway:
    """Open one process over a database; several over one are several processes."""
    services = await stack.enter_async_context(
        open_services(
            settings_for(database_url, **changes),
            environ=ENVIRON,
            integrations=Registry(integrations),
            clock=clock,
            vendor_transport=vendor.transport,
            webhook_transport=vendor.transport,
        )
    )
    gateway = Gateway(services, create_app(services), create_worker(services, lease_seconds=60), vendor)
    stack.push_async_callback(gateway.browser.aclose)
    return gateway
