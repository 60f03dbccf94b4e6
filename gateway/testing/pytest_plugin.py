"""The pytest plugin for plugin authors, found by entry point: a world as a fixture, and the quality card at the end.

It is loaded by every pytest run where the gateway is installed, so it imports what it needs when it is needed.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.testing.world import World

try:
    import pytest_asyncio
except ImportError:  # only those who use the fixtures need it
    _fixture: Callable[..., Any] = pytest.fixture
else:
    _fixture = pytest_asyncio.fixture


@pytest.fixture
def gateway_integration() -> str:
    """Key of the integration of the world; define this fixture anew in your ``conftest.py``."""
    raise pytest.UsageError("define a fixture `gateway_integration` that returns your integration's key")


@_fixture
async def make_gateway_world(
    gateway_integration: str, tmp_path: Path
) -> "AsyncIterator[Callable[..., Awaitable[World]]]":
    """Make worlds over one database; several are several processes. Arguments: those of ``open_world``."""
    from gateway.testing.world import Subject, World, new_database, open_world

    subject, url = Subject.installed(gateway_integration), await new_database(tmp_path)
    async with AsyncExitStack() as stack:

        async def make(**more: Any) -> World:
            return await stack.enter_async_context(open_world(subject, database_url=url, world=World, **more))

        yield make


@_fixture
async def gateway_world(make_gateway_world: "Callable[..., Awaitable[World]]") -> "World":
    """A gateway, your sandbox and a fake host in one process; see ``gateway.testing.world.World``."""
    return await make_gateway_world()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the quality card of each integration whose whole suite ran."""
    reports = [one for some in terminalreporter.stats.values() for one in some if hasattr(one, "user_properties")]
    told = [value for one in reports for name, value in one.user_properties if name == "gateway_conformance"]
    if not told:
        return
    from gateway.testing.conformance.card import render
    from gateway.testing.conformance.run import RULES, Outcome

    found: dict[str, dict[str, Outcome]] = defaultdict(dict)
    for key, rule, state, text, notes in told:
        if key and (rule not in found[key] or state == "broken"):  # the worst of several databases
            found[key][rule] = Outcome(rule, state, text, tuple(notes))
    for key, outcomes in sorted(found.items()):
        if len(outcomes) < len(RULES):
            continue
        terminalreporter.section(f"quality of {key}")
        terminalreporter.write_line(render(list(outcomes.values())))
        for note in dict.fromkeys(note for one in outcomes.values() for note in one.notes):
            terminalreporter.write_line(f"not looked at: {note}")
