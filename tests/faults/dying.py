"""What a forked process does that is to die: take one signup over the API and run the worker, up to its last point."""

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.app import create_app, create_worker, open_services
from gateway.flows.connections.credentials import StoredTokens
from gateway.sdk.clock import Clock
from gateway.settings import Settings, load
from gateway.storage import connections

from .mutations import mutate
from .points import Points

POINTS: dict[str, Any] = {
    "all": lambda kind, text: True,
    "outside": lambda kind, text: kind != "await",
    "commits": lambda kind, text: kind == "before commit",
    "calls": lambda kind, text: kind in {"before call", "after call"},
    "writes": lambda kind, text: kind == "after call" and text.startswith("POST /api"),
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do.

    Attributes:
        signups: Each ``{"account", "campaign", "key", "body"}``, sent one after the other.
        offset: Seconds that the clock is ahead.
        answers: File to which each answer is written when it is there, one JSON object a line.
        point: Where to die; 0: nowhere.
        stop: Freeze there instead.
        points: Which points count: ``all``, ``outside`` (no awaits), ``commits``, ``calls``,
            ``writes`` (after each write at the vendor).
        passed: File for the names of all points that were passed.
        mutations: Promises to break.
    """

    signups: list[dict[str, Any]]
    offset: float
    answers: str
    host_key: str
    point: int = 0
    stop: bool = False
    points: str = "all"
    passed: str = ""
    mutations: list[str] = []


def main(asked: str) -> None:
    """Live, and perhaps die."""
    given = msgspec.json.decode(asked, type=Asked)
    for name in given.mutations:
        mutate(name)
    points = Points(given.point, stop=given.stop, is_counted=POINTS[given.points])
    points.install()
    asyncio.run(live(given, points))
    if given.passed:
        Path(given.passed).write_text(json.dumps(points.passed))


async def live(asked: Asked, points: Points) -> None:
    """Open the gateway, take the signups, push them."""
    clock = Clock()
    clock.advance(timedelta(seconds=asked.offset))
    answers = os.open(asked.answers, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with open_services(load(Settings), clock=clock) as services:
        worker = create_worker(services)
        transport = httpx.ASGITransport(create_app(services))
        headers = {"authorization": f"Bearer {asked.host_key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as api:
            points.armed = True
            for one in asked.signups:
                path = f"/v1/accounts/{one['account']}/campaigns/{one['campaign']}/signups"
                answer = await api.post(path, json=one["body"], headers={"idempotency-key": one["key"]})
                said = {"key": one["key"], "status": answer.status_code, "body": answer.json()}
                os.write(answers, json.dumps(said).encode() + b"\n")
        await worker.drain()
        points.armed = False


def refresh(asked: str) -> None:
    """Ask for an access token from many callers at once, and write down which tokens they got."""
    given = msgspec.json.decode(asked)
    asyncio.run(_refresh(**given))


async def _refresh(connection: str, callers: int, offset: float, answers: str) -> None:
    clock = Clock()
    clock.advance(timedelta(seconds=offset))
    async with open_services(load(Settings), clock=clock) as services:
        async with services.database.read() as conn:
            row = await connections.get(conn, connection)
        assert row is not None
        integration = services.integrations.get(row.integration)
        assert integration is not None
        sources = [StoredTokens(services, integration, row, {}) for _ in range(callers)]
        tokens = await asyncio.gather(*(source.token() for source in sources))
    Path(answers).write_text(json.dumps(tokens))
