"""Holds calls against the vendor's OpenAPI documents: answers of the sandbox, and requests of our client.

The documents are the vendor's and are not part of this repository. The vendor publishes them at
https://developers.pipedrive.com/docs/api/v1/openapi.yaml (v1) and
https://developers.pipedrive.com/docs/api/v1/openapi-v2.yaml (v2). To check against them, save them as
``openapi-v1.yaml`` and ``openapi-v2.yaml`` in a folder, and name it in the environment variable
``GATEWAY_VENDOR_DOCS``; unless it is set, one place beside the repository is looked into (``folder_of_documents``).
Tests that need the documents are skipped where they are absent. The gaps below were written for their state of
2026-08-18: a newer one may ask for others.

Use from a test::

    from plugins.pipedrive.tests.openapi import Recorder, vendor_documents

    recorder = Recorder(sandbox.transport())
    client = httpx.AsyncClient(transport=recorder)
    ...
    assert recorder.request_problems(vendor_documents()) == []
"""

import functools
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jsonschema
import pytest
import yaml

Json = dict[str, Any]

PREFIXES = (("/api/v2", 2), ("/api/v1", 1), ("/v1", 1))
CUSTOM_KEY = "^[0-9a-f]{40}(_[a-z0-9_]+)?$"

# What the documents leave out or get wrong. Each entry: which operations, which place in the answer, and why.
ANSWER_GAPS: tuple[tuple[str, str, str], ...] = (
    ("2 .*", r"additional_data/next_cursor", "It is null on the last page; the document types it as a plain string."),
    (
        "2 .* /dealFields.*",
        r"data(/\d+)?/description",
        "A field without a description has null there (null in other parts of the same object).",
    ),
    (
        "2 .* /persons.*",
        r"data(/\d+)?/(first_name|last_name|org_id|picture_id)",
        "A person without organization, picture or second name exists; the document forgets that these may be null.",
    ),
    (
        "2 .* /deals.*",
        r"data(/\d+)?/(person_id|org_id|stage_change_time|won_time|lost_time|expected_close_date)",
        "A deal that is open, unlinked or undated exists; the document forgets that these may be null.",
    ),
    (
        "2 get /(persons|leads)/search",
        r"data/items/\d+/item/(person|organization|value|currency)",
        "The deal search marks its links as nullable; those of persons and leads are no different.",
    ),
    (
        "2 get /(deals|leads)/search",
        r"data/items/\d+/item/value",
        "Amounts have decimals in every other place; here the document says integer.",
    ),
    (
        "1 (get|post) /notes.*",
        r"data(/\d+)?/(deal|lead_id|deal_id|last_update_user_id|org_id|organization|person|person_id|project_id|project)",
        "A note hangs on one thing at least, so the other links are null.",
    ),
    ("1 (get|post) /notes.*", r"data(/\d+)?/user/icon_url", "A user without a picture exists (nullable in /users)."),
    (
        "1 put /persons/{id}/merge",
        r"data/org_id",
        "The same person elsewhere has no organization; the document forgets that it may be null.",
    ),
)

# What requests may do beyond the documents.
REQUEST_GAPS: tuple[tuple[str, str, str], ...] = (
    ("1 (post|patch) /leads.*", CUSTOM_KEY, "Leads take custom fields flat by their 40-character key."),
    ("2 patch /deals/{id}", "^(person_id|org_id|expected_close_date|value)$", "Null clears a field."),
    ("2 patch /persons/{id}", "^org_id$", "Null clears a field."),
    ("1 post /webhooks", "^event_object$", "Six object types came in 2026; the document lacks them."),
    ("1 post /oauth/token", "^(grant_type|refresh_token|client_id|client_secret)$", "Both grants share one URL."),
)

# Statuses that the documents hardly ever list, though any call may get them; the redirect is that of the consent page.
ANYWHERE = frozenset({302, 400, 401, 402, 403, 404, 405, 410, 415, 422, 429, 500, 502, 503})


@dataclass(frozen=True)
class Described:
    """One operation of the documents."""

    version: int
    method: str
    template: str
    spec: Json

    @property
    def name(self) -> str:
        """Name it as the tables of gaps do."""
        return f"{self.version} {self.method} {self.template}"

    @property
    def cost(self) -> int:
        """Return its price in daily tokens."""
        return int(self.spec["x-token-cost"])

    @property
    def scopes(self) -> set[str]:
        """Return the scopes any one of which allows it."""
        return {scope for way in self.spec.get("security", []) for scope in way.get("oauth2", [])}


class VendorDocuments:
    """Both documents, parsed, with their schemas as JSON Schema."""

    def __init__(self, folder: Path) -> None:
        self._documents = {version: _load(folder / f"openapi-v{version}.yaml") for version in (1, 2)}
        self._templates: list[tuple[int, re.Pattern[str], str]] = []
        for version, document in self._documents.items():
            for template in sorted(document["paths"], key=lambda one: one.count("{")):
                pattern = re.compile(re.sub(r"{\w+}", "[^/]+", template))
                self._templates.append((version, pattern, template))
        self._schemas: dict[str, Json] = {}

    def find(self, method: str, path: str) -> Described | None:
        """Find the operation behind a call, by its real path."""
        version, rest = next(
            ((version, path.removeprefix(prefix)) for prefix, version in PREFIXES if path.startswith(prefix + "/")),
            (1, path),
        )
        for known, pattern, template in self._templates:
            if known == version and pattern.fullmatch(rest):
                spec = self._documents[version]["paths"][template].get(method.lower())
                if spec is not None:
                    return Described(version, method.lower(), template, spec)
        return None

    def answer_problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Say how an answer strays from the documents."""
        described = self.find(method, path)
        if described is None:
            return [f"{method} {path}: no such operation in the documents"]
        content = described.spec["responses"].get(str(status), {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is None:
            if status in ANYWHERE or "text/html" in content:
                return []
            return [f"{described.name}: status {status} is not documented"]
        problems = []
        for error in self._validator(described, f"answer {status}", schema).iter_errors(body):
            for place, message in _leaves(error):
                if not _excused(ANSWER_GAPS, described.name, place):
                    problems.append(f"{described.name} {status}: {place}: {message}")
        return problems

    def missing_keys(self, method: str, path: str, status: int, body: Any) -> set[str]:
        """Name documented keys of ``data`` that an answer lacks, as ``<operation> key``."""
        described = self.find(method, path)
        if described is None:
            return set()
        content = described.spec["responses"].get(str(status), {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is None or not isinstance(body, dict):
            return set()
        wanted = _properties(self._resolved(described.version, schema)).get("data", {})
        data = body.get("data")
        if wanted.get("type") == "array":
            wanted, data = wanted.get("items", {}), (data or [None])[0]
        keys = _properties(wanted)
        return {f"{described.name}: {key}" for key in keys if isinstance(data, dict) and key not in data}

    def request_problems(self, request: httpx.Request) -> list[str]:
        """Say how a request strays from the documents: path, parameters, body."""
        url = urlsplit(str(request.url))
        described = self.find(request.method, url.path)
        if described is None:
            return [f"{request.method} {url.path}: no such operation in the documents"]
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return [
            f"{described.name}: {problem}"
            for problem in [*self._query_problems(described, query), *self._body_problems(described, request)]
        ]

    def _query_problems(self, described: Described, query: dict[str, str]) -> list[str]:
        known = {one["name"]: one for one in described.spec.get("parameters", []) if one["in"] == "query"}
        problems = [f"unknown parameter {name}" for name in query if name not in known]
        problems += [
            f"missing parameter {name}" for name, one in known.items() if one.get("required") and name not in query
        ]
        for name, value in query.items():
            if name in known:
                schema = self._resolved(described.version, known[name].get("schema", {}))
                problems += [f"parameter {name}: {problem}" for problem in _parameter_problems(schema, value)]
        return problems

    def _body_problems(self, described: Described, request: httpx.Request) -> list[str]:
        contents = described.spec.get("requestBody", {}).get("content", {})
        raw = request.content
        if not contents:
            return ["a body where none is documented"] if raw else []
        kind = request.headers.get("content-type", "").partition(";")[0]
        if raw and kind not in contents:
            return [f"content type {kind}, documented is {', '.join(contents)}"]
        body: Any
        if kind == "application/x-www-form-urlencoded":
            body = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        else:
            body = json.loads(raw) if raw else {}
        kind = kind or next(iter(contents))
        schema = self._resolved(described.version, contents[kind].get("schema", {}))
        known = _properties(schema)
        problems = [
            f"unknown key {key}" for key in body if key not in known and not _excused(REQUEST_GAPS, described.name, key)
        ]
        for error in _validator(schema).iter_errors(body):
            for place, message in _leaves(error):
                if not _excused(REQUEST_GAPS, described.name, place):
                    problems.append(f"body: {place}: {message}")
        return problems

    def _validator(self, described: Described, what: str, schema: Json) -> jsonschema.Draft7Validator:
        key = f"{described.name} {what}"
        if key not in self._schemas:
            self._schemas[key] = self._resolved(described.version, schema)
        return _validator(self._schemas[key])

    def _resolved(self, version: int, schema: Any) -> Any:
        return _json_schema(self._documents[version], schema)


@dataclass
class Exchange:
    """One recorded call."""

    request: httpx.Request
    status: int
    body: Any
    kind: str


@dataclass
class Recorder(httpx.AsyncBaseTransport):
    """A transport around another that keeps all calls."""

    inner: httpx.AsyncBaseTransport
    exchanges: list[Exchange] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on and keep it."""
        await request.aread()
        answer = await self.inner.handle_async_request(request)
        raw = await answer.aread()
        kind = answer.headers.get("content-type", "")
        body = json.loads(raw) if raw and kind.startswith("application/json") else raw.decode()
        self.exchanges.append(Exchange(request, answer.status_code, body, kind))
        return answer

    def answer_problems(self, documents: VendorDocuments) -> list[str]:
        """Say how the recorded answers stray from the documents."""
        return [
            problem
            for one in self.exchanges
            if one.kind.startswith("application/json")
            for problem in documents.answer_problems(one.request.method, one.request.url.path, one.status, one.body)
        ]

    def request_problems(self, documents: VendorDocuments) -> list[str]:
        """Say how the recorded requests stray from the documents."""
        return [problem for one in self.exchanges for problem in documents.request_problems(one.request)]


def folder_of_documents() -> Path:
    """Return where the vendor's documents are looked for."""
    given = os.environ.get("GATEWAY_VENDOR_DOCS")
    return Path(given) if given else Path(__file__).parents[4] / "shared" / "vendor" / "pipedrive"


@functools.cache
def _documents(folder: Path) -> VendorDocuments:
    return VendorDocuments(folder)


def vendor_documents() -> VendorDocuments:
    """Return the parsed documents, once a session, or skip the test."""
    folder = folder_of_documents()
    if not (folder / "openapi-v2.yaml").exists():
        pytest.skip(
            f"The vendor's OpenAPI documents are not in {folder}; set GATEWAY_VENDOR_DOCS to check against them."
        )
    return _documents(folder)


def _load(path: Path) -> Json:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: Json = yaml.load(path.read_bytes(), Loader=loader)
    return loaded


def _validator(schema: Json) -> jsonschema.Draft7Validator:
    # Formats of times are left alone: the vendor's own examples break them.
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker(("uuid", "date")))


def _json_schema(document: Json, schema: Any) -> Any:
    """Turn a schema of OpenAPI 3.0 into JSON Schema: references inlined, ``nullable`` spelled out."""
    if isinstance(schema, list):
        return [_json_schema(document, one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _json_schema(document, found)
    dropped = {"example", "examples", "nullable", "title", "description", "deprecated", "xml", "discriminator"}
    made: Json = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: _json_schema(document, one) for name, one in value.items()}
        elif key == "required" and not isinstance(value, list):
            continue
        elif key not in dropped:
            made[key] = _json_schema(document, value)
    if not schema.get("nullable"):
        return made
    return {"anyOf": [made, {"type": "null"}]}


def _properties(schema: Any) -> dict[str, Any]:
    """Collect the documented keys of an object schema, through ``allOf`` and the like."""
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for word in ("allOf", "anyOf", "oneOf"):
        for one in schema.get(word, []):
            found |= _properties(one)
    return found


def _leaves(error: Any) -> list[tuple[str, str]]:
    """Return places and messages of an error; of alternatives, that of the non-null one."""
    inner = [one for one in error.context or [] if one.validator_value != "null"]
    if inner:
        return [leaf for one in inner for leaf in _leaves(one)]
    return [("/".join(str(part) for part in error.absolute_path), error.message)]


def _excused(gaps: tuple[tuple[str, str, str], ...], name: str, place: str) -> bool:
    return any(re.fullmatch(which, name) and re.fullmatch(where, place) for which, where, _ in gaps)


def _parameter_problems(schema: Json, value: str) -> list[str]:
    kind = schema.get("type")
    if kind == "integer" and not re.fullmatch(r"-?\d+", value):
        return [f"{value!r} is no integer"]
    if kind == "boolean" and value not in {"true", "false"}:
        return [f"{value!r} is neither true nor false"]
    if "enum" in schema and kind == "string":
        return [f"{one!r} is none of {schema['enum']}" for one in value.split(",") if one not in schema["enum"]]
    return []
