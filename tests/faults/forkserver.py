"""Forks processes that have imported the gateway already: real processes for SIGKILL, without seconds of imports each.

Speaks one JSON object a line. ``{"fork": "module:function", "arguments": […], "environ": {…}, "log": path}`` answers
``{"pid": …}``; ``{"wait": pid, "nohang": bool}`` answers ``{"ended": signal or exit code}``, ``{"stopped": true}`` or
``{"runs": true}``. It ends with its standard input, and its children with it.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

WARM = ("gateway.cli", "gateway.app", "uvicorn.protocols.http.auto", "uvicorn.lifespan.on", "aiosqlite", "asyncpg")
PR_SET_PDEATHSIG = 1


def warm_up() -> None:
    """Import all that a process needs; no loop, no thread and no connection is made."""
    for name in WARM:
        importlib.import_module(name)
    from sqlalchemy import make_url

    from gateway.plugins import discover

    discover()
    for url in ("sqlite+aiosqlite:///none", "postgresql+asyncpg://none/none"):
        make_url(url).get_dialect().import_dbapi()


def fork(asked: dict[str, Any]) -> int:
    """Start a child that calls a function, and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(asked["environ"])
        module, _, function = asked["fork"].partition(":")
        getattr(importlib.import_module(module), function)(*asked["arguments"])
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, *, nohang: bool) -> dict[str, Any]:
    """Return how a child stands; waits for it to end or to stop unless ``nohang``."""
    found, status = os.waitpid(pid, os.WUNTRACED | (os.WNOHANG if nohang else 0))
    if found == 0:
        return {"runs": True}
    if os.WIFSTOPPED(status):
        return {"stopped": True}
    return {"ended": -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}


def main() -> None:
    """Answer lines until there are no more."""
    warm_up()
    answers = os.fdopen(os.dup(1), "w")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "fork" in asked:
            answer: dict[str, Any] = {"pid": fork(asked)}
        else:
            answer = wait(asked["wait"], nohang=asked.get("nohang", False))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
