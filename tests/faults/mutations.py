"""Ways to break a promise, applied from outside at import: each must turn a check red, or the check proves nothing."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from gateway.flows.signups import admitting, held, once, signup
from gateway.storage import lanes, transitions
from gateway.storage.tasks import insert_tasks
from gateway.storage.vault import Vault
from gateway.storage.writer import Writer


def outbox() -> None:
    """Store the tasks of a signup after its transaction, in another one."""
    real = admitting.publish
    later: list[tuple[list[Any], Any]] = []

    async def put_off(conn: Any, new: Sequence[Any], now: Any, *, tasks: Sequence[Any]) -> None:
        await real(conn, new, now)
        later.append((list(tasks), now))

    admitting.publish = put_off  # type: ignore[assignment]
    submit = Writer.submit

    async def submitted(self: Writer, flow: Any, items: Any, **kwargs: Any) -> list[Any]:
        answers = await submit(self, flow, items, **kwargs)
        while later:
            new, now = later.pop()

            async def store(conn: Any, new: Any = new, now: Any = now) -> None:
                await insert_tasks(conn, new, now)

            await self.run(store)
        return answers

    Writer.submit = submitted  # type: ignore[method-assign]


def idempotency_key() -> None:
    """Forget who has used an Idempotency-Key."""

    async def claim(*_args: Any, **_kwargs: Any) -> dict[Any, Any]:
        return {}

    signup.idempotency.claim = claim  # type: ignore[assignment]


def person_key() -> None:
    """Give one e-mail another hash each time, so that the same person is nobody known."""
    idempotency_key()
    Vault.email_hash = lambda self, email: secrets.token_hex(32)  # type: ignore[method-assign]


def find() -> None:
    """Create again without a look when a step is in doubt."""

    async def look(*_args: Any) -> None:
        return None

    once.Steps._look = look  # type: ignore[method-assign]


def exclusive_key() -> None:
    """Let two pushes of one e-mail run together."""
    real = held.push_task

    def push_task(person: Any, lane: str) -> Any:
        from msgspec.structs import replace

        return replace(real(person, lane), exclusive_key=None)

    held.push_task = admitting.push_task = push_task


def epoch() -> None:
    """Take every owner at its word: its lanes are its own, and its attempt is the one that runs."""

    async def owned(conn: Any, leases: Any) -> dict[Any, Any]:
        found = {lease: await lanes.get_lane(conn, lease.lane) for lease in leases}
        return {lease: lane for lease, lane in found.items() if lane is not None}

    async def running(conn: Any, ids: Any) -> Any:
        return Everything()

    transitions.owned = lanes.owned = owned  # type: ignore[assignment]
    transitions._running = running


class Everything:
    """A set that holds whatever it is asked for."""

    def __contains__(self, _item: object) -> bool:
        return True


MUTATIONS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (outbox, idempotency_key, person_key, find, exclusive_key, epoch)
}


def mutate(name: str) -> None:
    """Break one promise in this process."""
    MUTATIONS[name]()


__all__ = ["MUTATIONS", "mutate"]
