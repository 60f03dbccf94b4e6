"""The fake vendor: one tenant, its records, and an API over them. No framework, no socket: see ``serving``."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import httpx

Json = dict[str, Any]
PAGE = 3
"""Rows of a page: few, so that tests turn pages."""

TOKEN_LIFE = timedelta(minutes=15)
KEYS = {"contacts": {"name", "email"}, "deals": {"title", "contact", "reference", "value"}}
"""What a body may have beside custom fields; the vendor refuses other keys."""


class Refusal(Exception):
    """An error answer of the vendor."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, dict(headers or {})


class Vendor:
    """One tenant and all that it holds."""

    def __init__(self, clock: Callable[[], datetime], http: httpx.AsyncClient | None = None) -> None:
        self.clock, self._http = clock, http
        self.tenant, self.client_id, self.client_secret = "4711", "acme-client", "acme-secret"
        self.tokens: dict[str, datetime] = {}
        self.rows: dict[str, dict[str, Json]] = {"contacts": {}, "deals": {}, "webhooks": {}, "stages": {}}
        self.fields: dict[str, list[Json]] = {
            "contact": [_field("name", "Name"), _field("email", "Email", "email")],
            "deal": [_field("title", "Title"), _field("value", "Value", "number"), _field("f1", "Referral Code")],
        }
        self.due: list[tuple[Json, Json]] = []
        self._ids = count(1)
        self._changes = count(1)
        for name in ("New", "Talking", "Offered", "Agreed"):
            self.add("stages", {"name": name})

    # --- the API ---

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Json]:
        """Answer a call.

        Raises:
            Refusal: As the vendor refuses.
        """
        asked = dict(parse_qsl(query))
        if path == "/token":
            form = json.loads(body) if body.startswith(b"{") else dict(parse_qsl(body.decode()))
            return 200, self._token(form)
        if self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "), self.clock()) <= self.clock():
            raise Refusal(401, "the token is unknown or has ended")
        given = json.loads(body) if body else {}
        match method, path.removeprefix("/v1/").split("/"):
            case "GET", ["me"]:
                return 200, {"tenant": self.tenant, "name": "Acme Customer Ltd", "currency": "EUR"}
            case "GET", ["fields", kind]:
                return 200, _paged(self.fields[kind], asked, key=lambda row: row["key"])
            case "POST", ["fields", kind]:
                return 201, self.add_field(kind, given["label"], given["type"])
            case "GET", [kind] if kind in self.rows:
                return 200, self._list(kind, asked)
            case "GET", [kind, key] if key in self.rows.get(kind, {}):
                return 200, self.rows[kind][key]
            case "POST", [kind] if kind in self.rows:
                self._check(kind, given)
                return 201, self.add(kind, given)
            case "DELETE", [kind, key] if key in self.rows.get(kind, {}):
                return 200, self.rows[kind].pop(key)
        raise Refusal(404, f"{method} {path}: there is no such thing")

    def _token(self, form: Mapping[str, str]) -> Json:
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            raise Refusal(400, "invalid_client")
        token = f"token-{next(self._ids)}"
        self.tokens[token] = self.clock() + TOKEN_LIFE
        return {"access_token": token, "token_type": "Bearer", "expires_in": int(TOKEN_LIFE.total_seconds())}

    def _list(self, kind: str, asked: Mapping[str, str]) -> Json:
        rows = list(self.rows[kind].values())
        if "changed_after" in asked:
            after = int(asked["changed_after"])
            changed = sorted((row for row in rows if row["change"] > after), key=lambda row: int(row["change"]))
            return {"data": changed[:PAGE], "next": None}
        wanted = {key: asked[key] for key in ("email", "reference", "contact") if key in asked}
        rows = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
        if asked.get("sort") == "updated":  # by offset: rows move while one reads
            rows.sort(key=lambda row: int(row["change"]))
            start = int(asked.get("cursor", "0"))
            return {"data": rows[start : start + PAGE], "next": str(start + PAGE) if start + PAGE < len(rows) else None}
        return _paged(rows, asked, key=lambda row: row["id"])

    def _check(self, kind: str, body: Json) -> None:
        custom = {field["key"] for field in self.fields.get(kind.removesuffix("s"), ()) if field["custom"]}
        if kind in KEYS and (unknown := sorted(body.keys() - KEYS[kind] - custom)):
            raise Refusal(422, f"unknown keys: {', '.join(unknown)}")

    # --- what people do, and what follows ---

    def add(self, kind: str, values: Json) -> Json:
        """Add a record."""
        key = f"{next(self._ids):06}"
        now = self.clock().isoformat()
        row = {**values, "id": key, "created_at": now, "updated_at": now, "change": next(self._changes)}
        if kind == "deals":
            row |= {"state": "open", "stage": next(iter(self.rows["stages"])), "currency": "EUR"}
        self.rows[kind][key] = row
        self._tell(kind, row)
        return row

    def change(self, kind: str, key: str, **values: Any) -> None:
        """Change a record."""
        now = self.clock().isoformat()
        self.rows[kind][key] |= {**values, "updated_at": now, "change": next(self._changes)}
        self._tell(kind, self.rows[kind][key])

    def add_field(self, kind: str, label: str, type_: str = "text") -> Json:
        """Make a custom field."""
        self.fields[kind].append(_field(f"f{next(self._ids):06}", label, type_))
        return self.fields[kind][-1]

    def _tell(self, kind: str, row: Json) -> None:
        if kind == "deals":
            message = {"id": f"msg-{row['change']}", "deal": row["id"]}
            self.due += [(subscription, message) for subscription in self.rows["webhooks"].values()]

    async def deliver(self) -> int:
        """Send the webhooks that are due, signed."""
        due, self.due = self.due, []
        for subscription, message in due:
            body = json.dumps(message).encode()
            proof = hmac.new(subscription["secret"].encode(), body, hashlib.sha256).hexdigest()
            headers = {"content-type": "application/json", "x-acme-signature": proof}
            if self._http is not None:
                await self._http.post(subscription["url"], content=body, headers=headers)
        return len(due)


def _field(key: str, label: str, type_: str = "text") -> Json:
    return {"key": key, "label": label, "type": type_, "custom": key.startswith("f")}


def _paged(rows: list[Json], asked: Mapping[str, str], *, key: Callable[[Json], str]) -> Json:
    """Cut a page out of rows in the order of their keys; the cursor is the last key of the page."""
    left = sorted((row for row in rows if key(row) > asked.get("cursor", "")), key=key)
    return {"data": left[:PAGE], "next": key(left[PAGE - 1]) if len(left) > PAGE else None}
