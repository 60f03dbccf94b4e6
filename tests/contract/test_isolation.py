"""Every route of the application, asked by those who may not: no key, dead keys, other accounts, too few scopes.

The cases come from the application's own route table and its OpenAPI document. A new route is covered as it is; one
whose path parameter is unknown here fails until ``IDS`` says what it names.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute

from gateway.app import as_openapi
from gateway.flows import access

from ..flows.conftest import HOST_KEY, World, make_world  # noqa: TID252 - folders of tests are no packages

__all__ = ["make_world"]  # the fixture of the flow tests

PUBLIC = {
    "GET /v1/oauth/{integration}/callback": "a browser comes back from the vendor; the single-use state is its proof",
    "DELETE /v1/oauth/{integration}/callback": "the vendor tells of an uninstall; its Basic credentials are its proof",
    "POST /v1/inbound/{integration}/{connection}/{token}": "a vendor calls; unguessable URL and its own proof",
    "POST /v1/inbound/{integration}/{token}": "a vendor calls for the app; unguessable URL and its own proof",
}
"""Routes of ``/v1`` that need no key, each with the reason."""

OUTSIDE = {
    "/health": "load balancers and orchestrators ask without a key; tells the version and the kind of database",
    "/metrics": "Prometheus asks without a key; numbers only, no ids",
    "/schema": "the description of the API, the same for everybody",
    "/problems": "what a problem code means, the same for everybody",
    "/console": "pages for browsers, by a session's cookie: their walk is test_console_isolation.py",
}
"""What lies outside ``/v1``, each with the reason."""

ANY_KEY = {
    "GET /v1/integrations": "the catalogue, the same for every account",
    "GET /v1/integrations/{integration}": "one entry of the catalogue",
}
"""Routes that every key may read, whatever its scopes."""

RESOURCES = {"account", "campaign", "connection", "person", "reward", "endpoint", "delivery", "key", "sync"}
"""Path parameters, query parameters and fields of bodies that name something of one account."""

WORDS = {
    "integration": "pipedrive", "role": "referred", "record_kind": "contact", "source": "users", "step": "oauth",
    "event": "new_lead", "subscription": "end_nothing",
}  # fmt: skip
"""Path parameters that name the same thing in every account."""

NOTHING_THERE = {
    "POST /v1/accounts/{account}/installations/claim": "no installation waits in this world",
}
"""Routes that answer 404 to the owner too."""

REFUSED_TO_STRANGERS = {(404, "not_found"), (403, "host_key_required")}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

SCOPES = ["read", "signups", "manage", "zapier"]


class Operation(NamedTuple):
    """A method of a route, with what the OpenAPI document says of it."""

    method: str
    path: str
    names: list[str]
    query: list[str]
    body: Any

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, ids: dict[str, str]) -> str:
        return self.path.format_map(ids)


# --- the route table -------------------------------------------------------------------------------------


def operations(app: Any) -> list[Operation]:
    document = as_openapi(app)
    found = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if not path.startswith("/v1/"):
            continue
        for method in sorted(route.methods - {"OPTIONS", "HEAD"}):
            described = document["paths"].get(path, {}).get(method.lower(), {})
            content = described.get("requestBody", {}).get("content", {})
            schema = next(iter(content.values()))["schema"] if content else None
            found.append(
                Operation(
                    method=method,
                    path=path,
                    names=re.findall(r"\{(\w+)\}", path),
                    query=[one["name"] for one in described.get("parameters", []) if one["in"] == "query"],
                    body=None if schema is None else example(schema, document["components"]["schemas"]),
                )
            )
    return sorted(found)


TEXTS = {
    "amount": "5", "currency": "EUR", "email": "eve@example.com", "external_reference": "order-1", "code": "AAAA-AAAA",
    "url": "https://host.test/webhooks", "integration": "pipedrive", "target": "lead", "person": "ext:nobody",
}  # fmt: skip
"""Values for fields that a plain text would not fit."""


def example(schema: dict[str, Any], known: dict[str, Any], name: str = "") -> Any:
    """Return the smallest value that fits, and fields that name a resource."""
    if "$ref" in schema:
        return example(known[schema["$ref"].rpartition("/")[2]], known, name)
    if "enum" in schema:
        return next(one for one in schema["enum"] if one is not None)
    for many in ("oneOf", "anyOf"):
        if many in schema:
            return example(next(one for one in schema[many] if one.get("type") != "null"), known, name)
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next(one for one in kinds if one != "null")
    if kind == "object":
        fields = schema.get("properties", {})
        wanted = [field for field in fields if field in schema.get("required", []) or field == "code"]
        return {field: example(fields[field], known, field) for field in wanted}
    if kind == "array":
        return [example(schema["items"], known, name)] * schema.get("minItems", 0)
    if kind == "string":
        return "2026-01-01T00:00:00Z" if schema.get("format") == "date-time" else TEXTS.get(name, "x")
    return {"boolean": True, "integer": 1, "number": 1}[kind]


def naming(schema_of_body: Any) -> list[str]:
    fields = set(schema_of_body.get("properties", {})) if schema_of_body else set()
    return sorted(fields & RESOURCES)


# --- the world -------------------------------------------------------------------------------------------


class Two(NamedTuple):
    """Two accounts with everything: ``acme`` asks, ``bravo`` is the stranger whose things must stay its own."""

    world: World
    operations: list[Operation]
    mine: dict[str, str]
    theirs: dict[str, str]
    secrets: list[str]
    keys: dict[str, str]
    path: str
    sent: list[str]

    def watch(self) -> "Watch":
        return Watch(self)


class Watch:
    """Says what changed in the database, and what was sent to anybody."""

    def __init__(self, two: Two):
        self.two = two
        self.rows = self._rows()
        self.sent = len(two.sent)

    def _rows(self) -> dict[str, list[Any]]:
        with closing(sqlite3.connect(self.two.path)) as conn:
            names = [one for (one,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: sorted(map(repr, conn.execute(f'SELECT * FROM "{name}"'))) for name in names}

    def changed(self) -> list[str]:
        before, self.rows = self.rows, self._rows()
        sent, self.sent = self.two.sent[self.sent :], len(self.two.sent)
        return [name for name in before if before[name] != self.rows[name]] + sent


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is asked here does not depend on the kind of database."""
    return sqlite_url


@pytest.fixture
async def two(make_world: Any, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Two:
    monkeypatch.setattr(access, "REMEMBER_SECONDS", 0)
    world = await make_world(share_vendor_accounts=True)
    mine, _ = await populate(world, "acme")
    theirs, secrets = await populate(world, "bravo")
    assert not set(mine.values()) & set(theirs.values())
    keys = {}
    for scope in SCOPES:
        keys[scope] = await key(world, "acme", [scope])
    keys["all"] = await key(world, "acme", SCOPES)
    keys["revoked"], revoked = await key(world, "acme", SCOPES, named=True)
    await world.call("DELETE", f"/v1/accounts/acme/keys/{revoked}")
    link = (await world.call("POST", "/v1/accounts/acme/sessions"))["url"].partition("link=")[2]
    keys["session"] = (await access.open_session(world.services, link)).token
    for token in keys.values():  # the first use of a key is noted
        await world.api.get("/v1/accounts/acme", headers=bearer(token))
    sent, send = [], world.network.handle_async_request

    async def note(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.method} {request.url}")
        return await send(request)

    monkeypatch.setattr(world.network, "handle_async_request", note)
    path = database_url.removeprefix("sqlite:///")
    return Two(world, operations(world.app), mine, theirs, secrets, keys, path, sent)


async def key(world: World, account: str, scopes: list[str], *, named: bool = False) -> Any:
    made = await world.call("POST", f"/v1/accounts/{account}/keys", {"name": "asks", "scopes": scopes})
    return (made["key"], made["id"]) if named else made["key"]


async def populate(world: World, account: str) -> tuple[dict[str, str], list[str]]:
    """Fill an account as a host would; return the ids of its things, and what nobody else may read."""
    name = f"Company {account.title()}"
    await world.account(account, name=name)
    endpoint = (await world.endpoint(account=account))["id"]
    connection = await world.connect(account)
    await world.call("POST", f"/v1/accounts/{account}/connections", {"integration": "zapier"})
    campaign = await world.campaign(
        account, f"{account}-spring", rewards=[{"kind": "fixed", "amount": "20", "currency": "EUR"}]
    )
    await world.setup(account, campaign)
    rita = await world.signup(account, campaign, role="referrer", email=f"rita@{account}.example")
    code = (await world.person(rita["person"], account))["code"]
    fred = await world.signup(account, campaign, email=f"fred@{account}.example", referrer={"code": code})
    await world.drain()
    await world.call("POST", f"/v1/accounts/{account}/people/{fred['person']}/qualification", {"qualified": True})
    await world.drain()
    (reward,) = (await world.call("GET", f"/v1/accounts/{account}/rewards"))["data"]
    # the accounts share one vendor account here: each syncs contacts that are nobody's
    chosen = world.sandbox.add_filter(f"For {account}", "people", [["name", "contains", "Example"]])
    sync = await world.call(
        "POST",
        f"/v1/accounts/{account}/campaigns/{campaign}/syncs",
        {"use_suggested": True, "selection": {"filter": str(chosen.id)}},
    )
    await world.drain()
    deliveries = (await world.call("GET", f"/v1/deliveries?account={account}&endpoint={endpoint}"))["data"]
    _, made = await key(world, account, SCOPES, named=True)
    ids = {
        "account": account,
        "campaign": campaign,
        "connection": connection,
        "person": fred["person"],
        "reward": reward["id"],
        "endpoint": endpoint,
        "delivery": deliveries[0]["id"],
        "key": made,
        "sync": sync["id"],
    }
    assert set(ids) == RESOURCES
    # what the caller sent may be said back; these it did not send
    return ids, [name, f"rita@{account}.example", f"fred@{account}.example", code, rita["person"]]


def bearer(token: str | None) -> dict[str, str]:
    return {"authorization": "" if token is None else f"Bearer {token}"}


async def ask(two: Two, one: Operation, token: str | None, url: str, body: Any = None, **query: str) -> httpx.Response:
    return await two.world.api.request(
        one.method, url, json=one.body if body is None else body, params=query, headers=bearer(token)
    )


def problem(answer: httpx.Response) -> tuple[int, str | None]:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return answer.status_code, None
    return answer.status_code, answer.json()["code"]


def guarded(two: Two) -> list[Operation]:
    return [one for one in two.operations if one.label not in PUBLIC]


# --- the claims ------------------------------------------------------------------------------------------


async def every_route_is_known(two: Two) -> list[Any]:
    labels = {one.label for one in two.operations}
    assert set(ANY_KEY) <= labels
    assert set(PUBLIC) <= labels
    paths = {route.path for route in two.world.app.routes}
    strange = {path for path in paths if not path.startswith(("/v1/", *OUTSIDE))}
    assert not strange, "say in OUTSIDE why these need no key"
    known = RESOURCES | set(WORDS)
    unknown = {one.label: [name for name in one.names if name not in known] for one in guarded(two)}
    assert not any(unknown.values()), (
        f"{ {label: names for label, names in unknown.items() if names} }: say what these path parameters name: "
        "in RESOURCES and populate() for something of one account, in WORDS for what is the same in all"
    )
    document = as_openapi(two.world.app)["paths"]
    told = {f"{method.upper()} {path}" for path, methods in document.items() for method in methods}
    assert {one.label for one in guarded(two)} <= told, "not in the OpenAPI document: its body cannot be made"
    return []


async def without_a_valid_key_nothing_is_answered(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    tokens = {
        "none": None, "wrong": "gwk_wrong", "no session": "gws_wrong", "revoked": two.keys["revoked"],
    }  # fmt: skip
    for one in guarded(two):
        for ids in (two.mine, {**two.mine, **dict.fromkeys(one.names, "nothing")}):
            for name, token in tokens.items():
                for body in (one.body, {"surprise": 1}):
                    answer = await ask(two, one, token, one.url({**WORDS, **ids}), body)
                    if problem(answer) != (401, "unauthenticated"):
                        wrong.append((one.label, name, body, answer.status_code, answer.text))
    return [*wrong, *watch.changed()]


async def another_accounts_things_are_not_there(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    for one in guarded(two):
        if one.label in ANY_KEY:
            continue
        for said, ids in mixed(two, one):
            for who in ("all", "session"):
                answer = await ask(two, one, two.keys[who], one.url(ids))
                if problem(answer) not in REFUSED_TO_STRANGERS:
                    wrong.append((one.label, who, said, answer.status_code, answer.text))
                if leaks := [text for text in two.secrets if text in answer.text]:
                    wrong.append((one.label, who, said, "leaks", leaks))
                if changed := watch.changed():
                    wrong.append((one.label, who, said, "changed", changed))
    return wrong


def mixed(two: Two, one: Operation) -> Iterator[tuple[str, dict[str, str]]]:
    """Everything of the other account, and one thing of the other account among ours."""
    names = [name for name in one.names if name in RESOURCES]
    if not names:
        return
    yield "all theirs", {**WORDS, **two.theirs}
    for name in names if len(names) > 1 else []:
        if one.method == "PUT" and name == "campaign" and one.path.endswith("{campaign}"):
            continue  # campaign ids are the host's: each account may have one of this name
        yield f"{name} theirs", {**WORDS, **two.mine, name: two.theirs[name]}


async def another_accounts_things_cannot_be_asked_for_beside_the_path(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    document = as_openapi(two.world.app)
    for one in guarded(two):
        described = document["paths"][one.path][one.method.lower()]
        content = described.get("requestBody", {}).get("content", {})
        schema = next(iter(content.values()))["schema"] if content else {}
        schema = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
        asked = [("query", name) for name in one.query if name in RESOURCES] + [("body", n) for n in naming(schema)]
        for place, name in asked:
            query = {name: two.theirs[name]} if place == "query" else {}
            body = {**one.body, name: two.theirs[name]} if place == "body" else None
            answer = await ask(two, one, two.keys["all"], one.url({**WORDS, **two.mine}), body, **query)
            code = problem(answer)
            unreadable = answer.status_code >= 400 and code[1] is None
            refused = code in REFUSED_TO_STRANGERS
            if answer.status_code >= 500 or unreadable or (name == "account" and not refused):
                wrong.append((one.label, place, name, answer.status_code, answer.text))
            if leaks := [text for text in two.secrets if text in answer.text]:
                wrong.append((one.label, place, name, "leaks", leaks))
            if changed := watch.changed():
                wrong.append((one.label, place, name, "changed", changed))
    return wrong


async def lists_hold_what_is_the_accounts_own(two: Two) -> list[Any]:
    wrong = []
    strange = [*two.secrets, *(two.theirs[name] for name in RESOURCES)]
    for one in guarded(two):
        if one.method == "GET":
            paging = {"limit": "200"} if "limit" in one.query else {}
            answer = await ask(two, one, two.keys["all"], one.url({**WORDS, **two.mine}), **paging)
            if leaks := [text for text in strange if re.search(rf"(?<![\w-]){re.escape(text)}(?![\w-])", answer.text)]:
                wrong.append((one.label, answer.status_code, leaks))
    return wrong


async def scopes_that_do_not_suffice_open_nothing(two: Two) -> list[Any]:
    watch, wrong = two.watch(), []
    document = as_openapi(two.world.app)["paths"]
    for one in guarded(two):
        if one.label in ANY_KEY:
            continue
        for scope in ("zapier", "read"):
            if scope == "read" and one.method == "GET":
                continue
            if scope == "zapier" and one.path.startswith("/v1/apps/"):
                continue
            query = {"account": two.mine["account"]} if "account" in one.query else {}
            answer = await ask(two, one, two.keys[scope], one.url({**WORDS, **two.mine}), **query)
            if problem(answer) not in {(403, "missing_scope"), (403, "host_key_required")}:
                wrong.append((one.label, scope, answer.status_code, answer.text))
            told = document[one.path][one.method.lower()].get("x-scope")
            needs = "Use a host key" if told == "host" else f"This needs the scope {told!r};"
            if not answer.json()["detail"].startswith(needs):
                wrong.append((one.label, scope, "the document tells of another scope", told, answer.text))
            if changed := watch.changed():
                wrong.append((one.label, scope, "changed", changed))
    return wrong


async def what_only_the_host_may_do_no_account_key_does(two: Two) -> list[Any]:
    watch = two.watch()
    only_host = set()
    for one in guarded(two):
        answer = await ask(two, one, two.keys["zapier"], one.url({**WORDS, **two.mine}))
        if problem(answer) == (403, "host_key_required"):
            only_host.add(one.label)
            for who in ("all", "session"):
                again = await ask(two, one, two.keys[who], one.url({**WORDS, **two.mine}))
                assert problem(again) == (403, "host_key_required"), (one.label, who, again.text)
    assert {"PUT /v1/accounts/{account}", "POST /v1/accounts/{account}/keys", "GET /v1/accounts"} <= only_host
    return watch.changed()


async def methods_that_a_route_does_not_have_answer_nobody(two: Two) -> list[Any]:
    """Every verb on every path of another account's things, and without a key: those that are not offered."""
    watch, wrong = two.watch(), []
    offered: dict[str, set[str]] = {}
    for one in two.operations:
        offered.setdefault(one.path, set()).add(one.method)
    for path, methods in offered.items():
        url = path.format_map({**WORDS, **two.theirs, "token": "token"})
        for method in sorted({*METHODS} - methods):
            for token in (None, two.keys["all"], two.keys["session"]):
                answer = await two.world.api.request(method, url, headers=bearer(token))
                # OPTIONS tells which methods there are, which is the same for everybody
                refused = {204} if method == "OPTIONS" else {401, 403, 404, 405}
                if answer.status_code not in refused:
                    wrong.append((method, path, token is not None, answer.status_code, answer.text))
                if leaks := [text for text in two.secrets if text in answer.text]:
                    wrong.append((method, path, "leaks", leaks))
    return [*wrong, *watch.changed()]


async def the_owner_is_not_refused(two: Two) -> list[Any]:
    """Else the refusals above would say nothing. Comes last: it changes the world."""
    wrong = []
    for one in sorted(guarded(two), key=lambda one: (one.method == "DELETE", -one.path.count("/"))):
        if one.path.startswith("/v1/apps/") or one.label in NOTHING_THERE:
            continue
        for token in (HOST_KEY, two.keys["all"]):
            answer = await ask(two, one, token, one.url({**WORDS, **two.mine}))
            asked_again = one.method == "DELETE" and token != HOST_KEY
            if answer.status_code in {401, 404} and not asked_again:
                wrong.append((one.label, answer.status_code, answer.text))
            if answer.status_code >= 500 or problem(answer)[1] == "missing_scope":
                wrong.append((one.label, answer.status_code, answer.text))
    return wrong


async def test_every_route_refuses_whom_it_must(two):
    """One world for all claims: nothing in it changes."""
    wrong = {}
    await every_route_is_known(two)
    for claim in (
        without_a_valid_key_nothing_is_answered,
        another_accounts_things_are_not_there,
        another_accounts_things_cannot_be_asked_for_beside_the_path,
        lists_hold_what_is_the_accounts_own,
        scopes_that_do_not_suffice_open_nothing,
        what_only_the_host_may_do_no_account_key_does,
        methods_that_a_route_does_not_have_answer_nobody,
        the_owner_is_not_refused,
    ):
        wrong[claim.__name__] = await claim(two)
    found = [f"{name}: {one}" for name, some in wrong.items() for one in some]
    assert not found, "\n".join(found)
