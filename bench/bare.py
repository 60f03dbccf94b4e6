"""What the gateway is measured against: the same route without a database, the same rows without a gateway.

``python -m bench.bare PORT`` serves the routes with the server that the gateway has.
"""

import asyncio
import sqlite3
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Litestar, Request, post

from gateway.api.signups import json_body
from gateway.cli.serve import server
from gateway.errors import invalid
from gateway.flows.signups.intake import Call, read_items
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.signup import SignupBatch, SignupResult, SignupResults

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CAMPAIGN = CampaignRow(
    account_id="acme", id="spring", name="Spring", state="live", fields=[], link_template=None, rewards=[],
    created_at=NOW, updated_at=NOW,
)  # fmt: skip


@post("/v1/accounts/{account:str}/campaigns/{campaign:str}/signups", status_code=202)
async def take_signups(account: str, campaign: str, request: Request[Any, Any, Any]) -> SignupResults:
    """Decode and check signups as the gateway does, and answer as it would: nothing is stored."""
    body = await json_body(request)
    raw = msgspec.convert(body, SignupBatch).signups if isinstance(body, dict) and "signups" in body else [body]
    call = Call(account_id=account, campaign_id=campaign, link_template=None, now=NOW, expired_before=NOW)
    read_items(call, CAMPAIGN, raw, lambda email: email)
    if call.refused:
        raise invalid(*next(iter(call.refused.values())))
    return SignupResults(
        results=[
            SignupResult(index=item.index, person=f"per_{uuid.uuid4().hex}", outcome="accepted") for item in call.items
        ]
    )


@post("/v1/inbound/{integration:str}/{connection:str}/{token:str}", status_code=200)
async def take_webhook(
    integration: str, connection: str, token: str, request: Request[Any, Any, Any]
) -> dict[str, str]:
    """Read a vendor's call and answer it."""
    await request.body()
    return {"status": "stored"}


async def serve(port: int) -> None:
    """Serve the bare routes until the process is ended."""
    app = Litestar([take_signups, take_webhook], openapi_config=None, logging_config=None)
    await server(app, host="127.0.0.1", port=port).serve()


def executemany(path: str, rows: dict[str, list[tuple[Any, ...]]], group: int) -> float:
    """Store rows in group commits with nothing but ``executemany``; return the seconds it took.

    Args:
        path: A SQLite database with the schema, without these rows.
        rows: What to store, by table: each list is divided over the commits evenly.
        group: Commits.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        began = time.perf_counter()
        for number in range(group):
            connection.execute("BEGIN IMMEDIATE")
            for table, values in rows.items():
                size = -(-len(values) // group)
                some = values[number * size : (number + 1) * size]
                if some:
                    marks = ", ".join("?" * len(some[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", some)
            connection.execute("COMMIT")
        return time.perf_counter() - began
    finally:
        connection.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
