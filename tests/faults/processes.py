"""Processes of the gateway that a run starts, kills with SIGKILL, and starts again."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec

from gateway.testing.serving import free_ports

from .forks import Forks

START_SECONDS = 120.0


class Killed(msgspec.Struct, kw_only=True):
    """One kill: when, of whom, and (filled in later) after how many seconds it was made good."""

    at: float
    name: str
    owner: str | None
    taken_over_after: float | None = None


class Process:
    """One process: ``serve`` (API and a worker) or ``worker``; the same port each time it starts.

    Args:
        name: Shown in the report and names its log.
        command: ``serve`` or ``worker``.
        environ: Its settings.
        folder: For its log and the name under which it owns lanes.
        forks: Starts it.
    """

    def __init__(self, name: str, command: str, environ: Mapping[str, str], folder: Path, forks: Forks) -> None:
        self.name, self.command = name, command
        self.port = free_ports(1)[0] if command == "serve" else None
        self.up = False
        self._owner = folder / f"{name}.owner"
        self._environ = {**environ, "GATEWAY_FAULTS_OWNER": str(self._owner)}
        self._log = folder / f"{name}.log"
        self._forks = forks
        self._pid: int | None = None

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and return when it answers (or, without an API, has a worker)."""
        arguments = [] if self.port is None else ["--port", str(self.port)]
        self._owner.unlink(missing_ok=True)
        command = [self.command, *arguments]
        self._pid = await self._forks.fork("tests.faults.process:main", command, self._environ, self._log)
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while not await self._is_up(client):
                await asyncio.sleep(0.02)
        self.up = True

    async def _is_up(self, client: httpx.AsyncClient) -> bool:
        await self._assert_runs()
        if not self._owner.exists() or not self._owner.read_text():
            return False
        if self.port is None:
            return True
        try:
            return (await client.get(f"{self.url}/health/live", timeout=5)).is_success
        except httpx.TransportError:
            return False

    async def _assert_runs(self) -> None:
        assert self._pid is not None
        standing = await self._forks.wait(self._pid, nohang=True)
        if "runs" not in standing:
            self._pid = None
            raise RuntimeError(f"{self.name} ended by itself: {standing}; see {self._log}")

    async def kill(self) -> Killed:
        """Kill it as the kernel would: no cleaning up, no last word."""
        await self._assert_runs()
        assert self._pid is not None
        self.up = False
        os.kill(self._pid, signal.SIGKILL)
        killed = Killed(at=time.monotonic(), name=self.name, owner=self._owner.read_text())
        await self._forks.wait(self._pid)
        self._pid = None
        return killed

    async def stop(self) -> None:
        """Ask it to end, at the end of a run."""
        self.up = False
        if self._pid is not None:
            os.kill(self._pid, signal.SIGTERM)
            await self._forks.wait(self._pid)
            self._pid = None


async def migrate(environ: Mapping[str, str], folder: Path, forks: Forks) -> None:
    """Run ``gateway migrate`` to its end."""
    log = folder / "migrate.log"
    ended = await forks.wait(await forks.fork("tests.faults.process:main", ["migrate"], environ, log))
    if ended != {"ended": 0}:
        raise RuntimeError(f"gateway migrate ended with {ended}: {log.read_text()}")
