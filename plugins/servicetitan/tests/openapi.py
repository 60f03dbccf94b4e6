"""Holds calls against the vendor's OpenAPI documents: answers of the sandbox, and requests of our client.

The documents are the vendor's and are not part of this repository. Used are those of March 2026 (OpenAPI 3.0.1), which
the public repository ``archdotdev/tap-service-titan`` republishes in ``tap_service_titan/openapi_specs`` (its commit
80da1cb). To check against them, save ``crm-v2.json`` as ``crm.json`` in a folder, the other modules below alike, and
name the folder in the environment variable ``GATEWAY_SERVICETITAN_DOCS``; unless it is set, one place beside the
repository is looked into. Tests that need them are skipped where they are absent (``vendor_documents`` does that).

The vendor's newest ones stand at https://developer.servicetitan.io/api/docs/apis/tenant-crm-v2 and so on; they are
OpenAPI 3.1 and shaped otherwise.
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

Json = dict[str, Any]
MODULES = ("crm", "jpm", "accounting", "settings", "marketing", "jbce")

# Any call may get them though hardly one lists them (``VENDOR.md``, chapter 4).
ANYWHERE = frozenset({400, 401, 403, 404, 405, 409, 415, 429, 500, 502, 503})

# What the documents forbid and the real thing does; each entry: which operations, which place, why.
ANSWER_GAPS: tuple[tuple[str, str, str], ...] = (
    ("get .*/customers/contacts", r"data/\d+/phoneSettings", "An e-mail contact is seen with null there."),
)


class VendorDocuments:
    """The documents of all modules, their schemas as JSON Schema."""

    def __init__(self, folder: Path) -> None:
        self._documents = {name: json.loads((folder / f"{name}.json").read_bytes()) for name in MODULES}
        self._templates = [
            (name, re.compile(f"/{name}/v2" + re.sub(r"{\w+}", "[^/]+", template)), template)
            for name, document in self._documents.items()
            for template in sorted(document["paths"], key=lambda one: one.count("{"))
        ]
        self._schemas: dict[str, Json] = {}

    def find(self, method: str, path: str) -> tuple[str, str, Json] | None:
        """Find the operation behind a call: module, template, description."""
        for name, pattern, template in self._templates:
            if pattern.fullmatch(path):
                spec = self._documents[name]["paths"][template].get(method.lower())
                if spec is not None:
                    return name, template, spec
        return None

    def answer_problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Say how an answer strays from the documents."""
        found = self.find(method, path)
        if found is None:
            return [] if status in (404, 405) else [f"{method} {path}: no such operation in the documents"]
        name, template, spec = found
        described = spec["responses"].get(str(status))
        if described is None:
            error = self._documents[name]["components"]["schemas"]["ApiErrorResponse"]
            if status not in ANYWHERE:
                return [f"{method} {template}: status {status} is not documented"]
            return self._problems(name, f"{method} {template} {status}", error, body)
        schema = next(iter(described.get("content", {}).values()), {}).get("schema")
        if schema is None:
            return [] if body in (None, "") else [f"{method} {template}: a body where none is documented"]
        return self._problems(name, f"{method.lower()} {template} {status}", schema, body)

    def request_problems(self, request: httpx.Request) -> list[str]:
        """Say how a request strays from the documents: path, parameters, body."""
        url = urlsplit(str(request.url))
        found = self.find(request.method, url.path)
        if found is None:
            return [f"{request.method} {url.path}: no such operation in the documents"]
        name, template, spec = found
        what = f"{request.method} {template}"
        known = {one["name"]: one for one in spec.get("parameters", []) if one["in"] == "query"}
        sent = dict(parse_qsl(url.query, keep_blank_values=True))
        problems = [f"{what}: unknown parameter {key}" for key in sent if key not in known]
        for key, value in sent.items():
            if key in known:
                schema = self._resolved(name, known[key].get("schema", {}))
                problems += [f"{what}: parameter {key}: {one}" for one in _parameter_problems(schema, value)]
        content = spec.get("requestBody", {}).get("content", {})
        if not content:
            return problems + ([f"{what}: a body where none is documented"] if request.content else [])
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            return [*problems, f"{what}: content type {kind!r}"]
        return problems + self._problems(name, what, content[kind]["schema"], json.loads(request.content))

    def webhook_problems(self, kind: str, body: Any) -> list[str]:
        """Say how a webhook strays from the documents, where they have its payload."""
        for name, document in self._documents.items():
            for key, schema in document["components"]["schemas"].items():
                if key.startswith("CloudEvent_Of_") and kind in json.dumps(schema):
                    return self._problems(name, f"webhook {kind}", schema, body)
        return [f"webhook {kind}: not in the documents"]

    def _problems(self, name: str, what: str, schema: Json, body: Any) -> list[str]:
        key = f"{name} {what} {json.dumps(schema)[:200]}"
        if key not in self._schemas:
            self._schemas[key] = self._resolved(name, schema)
        found = []
        for error in jsonschema.Draft7Validator(self._schemas[key]).iter_errors(body):
            for place, message in _leaves(error):
                if not any(
                    re.fullmatch(gap + r".*", what) and re.fullmatch(where, place) for gap, where, _ in ANSWER_GAPS
                ):
                    found.append(f"{what}: {place}: {message}")
        return found

    def _resolved(self, name: str, schema: Any) -> Any:
        """Inline references and spell out ``nullable``, also beside a ``oneOf``, where a strict reader forbids null."""
        if isinstance(schema, list):
            return [self._resolved(name, one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            found: Any = self._documents[name]
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return self._resolved(name, found)
        dropped = {"example", "examples", "nullable", "title", "description", "deprecated", "format", "default"}
        made: Json = {}
        for key, value in schema.items():
            if key == "properties":
                made[key] = {one: self._resolved(name, inner) for one, inner in value.items()}
            elif key not in dropped and not key.startswith("x-"):
                made[key] = self._resolved(name, value)
        return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


@dataclass
class Exchange:
    """One recorded call."""

    request: httpx.Request
    status: int
    body: Any


@dataclass
class Recorder(httpx.AsyncBaseTransport):
    """A transport around another that keeps all calls but those for tokens."""

    inner: httpx.AsyncBaseTransport
    exchanges: list[Exchange] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on and keep it."""
        await request.aread()
        answer = await self.inner.handle_async_request(request)
        raw = await answer.aread()
        if request.url.path != "/connect/token":
            is_json = raw and answer.headers.get("content-type", "").startswith("application/json")
            self.exchanges.append(Exchange(request, answer.status_code, json.loads(raw) if is_json else raw.decode()))
        return answer

    def answer_problems(self, documents: VendorDocuments) -> list[str]:
        """Say how the recorded answers stray from the documents."""
        return [
            problem
            for one in self.exchanges
            for problem in documents.answer_problems(one.request.method, one.request.url.path, one.status, one.body)
        ]

    def request_problems(self, documents: VendorDocuments) -> list[str]:
        """Say how the recorded requests stray from the documents."""
        return [problem for one in self.exchanges for problem in documents.request_problems(one.request)]


@functools.cache
def _documents(folder: Path) -> VendorDocuments:
    return VendorDocuments(folder)


def vendor_documents() -> VendorDocuments:
    """Return the parsed documents, once a session, or skip the test."""
    given = os.environ.get("GATEWAY_SERVICETITAN_DOCS")
    folder = Path(given) if given else Path(__file__).parents[4] / "shared" / "vendor" / "servicetitan"
    if not (folder / "crm.json").exists():
        pytest.skip(
            f"The vendor's OpenAPI documents are not in {folder}; set GATEWAY_SERVICETITAN_DOCS to check against them."
        )
    return _documents(folder)


def _leaves(error: Any) -> list[tuple[str, str]]:
    """Return places and messages of an error; of alternatives, that of the non-null one."""
    inner = [one for one in error.context or [] if one.validator_value != "null"]
    if inner:
        return [leaf for one in inner for leaf in _leaves(one)]
    return [("/".join(str(part) for part in error.absolute_path), error.message)]


def _parameter_problems(schema: Json, value: str) -> list[str]:
    kind = schema.get("type") or next(
        (one.get("type") for one in schema.get("anyOf", []) if one.get("type") != "null"), ""
    )
    if kind == "integer" and not value.isdecimal():
        return [f"{value!r} is no integer"]
    if kind == "boolean" and value.lower() not in ("true", "false"):
        return [f"{value!r} is neither true nor false"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{value!r} is none of {schema['enum']}"]
    return []
