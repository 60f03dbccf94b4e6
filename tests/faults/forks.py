"""The other end of ``forkserver``: start children that have everything imported, and learn how they ended."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Forks:
    """A running fork server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def fork(self, function: str, arguments: Sequence[Any], environ: Mapping[str, str], log: Path) -> int:
        """Start a child that calls ``module:function`` with these arguments; return its process id."""
        asked = {"fork": function, "arguments": list(arguments), "environ": dict(environ), "log": str(log)}
        return int((await self._ask(asked))["pid"])

    async def wait(self, pid: int, *, nohang: bool = False) -> dict[str, Any]:
        """Return ``{"ended": …}``, ``{"stopped": True}`` or, with ``nohang``, ``{"runs": True}``."""
        return await self._ask({"wait": pid, "nohang": nohang})

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fork server ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def fork_server() -> AsyncIterator[Forks]:
    """Start a fork server, and end it with all its children."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.forkserver", cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    if not await process.stdout.readline():
        raise RuntimeError("the fork server did not start")
    try:
        yield Forks(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
