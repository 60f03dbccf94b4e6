"""Looks into the database from outside, with a connection of its own: what is left to do, and who owns lanes."""

import sqlite3
from contextlib import closing
from typing import Any

import asyncpg
from sqlalchemy import make_url

# what must come to its end; webhooks and sweeps go on for ever, and are judged by what they find
OPEN = (
    "SELECT kind, count(*) FROM tasks WHERE state IN ('available', 'running') AND kind IN "
    "('push_signup', 'fan_out', 'deliver', 'push_status', 'publish_stats') "
    "GROUP BY kind"
)
OWNERS = "SELECT DISTINCT owner FROM lanes WHERE owner IS NOT NULL"
ATTEMPTS = "SELECT coalesce(status, 'open'), count(*) FROM attempts GROUP BY 1"


class Looking:
    """Reads from one database; SQL text, since nothing of the gateway may be in the way."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows."""
        if self._url.drivername.startswith("sqlite"):
            assert self._url.database is not None
            with closing(sqlite3.connect(f"file:{self._url.database}?mode=ro", uri=True, timeout=30)) as conn:
                return list(conn.execute(sql))
        dsn = self._url.render_as_string(hide_password=False)
        connection = await asyncpg.connect(dsn=dsn, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def left(self) -> dict[str, int]:
        """Return how many tasks of each kind are not ended."""
        return dict(await self.rows(OPEN))

    async def owners(self) -> set[str]:
        """Return who owns lanes."""
        return {owner for (owner,) in await self.rows(OWNERS)}

    async def attempts(self) -> dict[str, int]:
        """Return how attempts ended: ``done``, ``lost`` (their process died), ``retry`` …"""
        return dict(await self.rows(ATTEMPTS))
