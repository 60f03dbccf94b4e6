"""What a rule is: a claim about a plugin, the tier that it counts for, and when it does not apply."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from gateway.plugins import Integration
from gateway.testing.world import Subject, World, new_database, open_world

Tier = Literal["bronze", "silver", "gold"]
TIERS: dict[Tier, str] = {
    "bronze": "safe to connect: nothing is lost, nothing is done twice, nothing is left behind",
    "silver": "dependable: lists are complete, changes are found whatever happens to messages",
    "gold": "complete: contacts can be synchronised while they change",
}
"""What a tier promises. An integration has a tier when none of its rules, nor of those before, is broken."""


class Broken(AssertionError):
    """A plugin breaks a rule; the message says what was seen, in words for its author."""


@dataclass
class Stage:
    """Where a rule plays.

    Attributes:
        subject: The plugin and its vendor.
        database_url: A database that has the schema and no rows; ``None``: a new SQLite file for each world.
        notes: What the rule could not look at, and why: shown, and no failure.
    """

    subject: Subject
    database_url: str | None = None
    notes: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def world(self, **settings: Any) -> AsyncIterator[World]:
        """Open a world; the settings are the gateway's, by name."""
        with TemporaryDirectory(prefix="gateway-conformance-") as folder:
            url = self.database_url or await new_database(Path(folder))
            async with open_world(self.subject, database_url=url, world=World, **settings) as world:
                yield world


Check = Callable[[Stage], Awaitable[None]]
Applies = Callable[[Integration], str | None]
"""Says why a rule does not apply to an integration, in a sentence; ``None``: it applies."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        key: Its name, for exemptions and test ids.
        tier: Which tier it counts for.
        title: The claim in a sentence, for the quality card.
        applies: Says why it does not apply.
        check: Tries it out; raises ``Broken``.
        exemptible: A driver may exempt the plugin from it; bronze rules are promises that nobody is exempted from.
    """

    key: str
    tier: Tier
    title: str
    applies: Applies
    check: Check

    @property
    def exemptible(self) -> bool:
        """Say whether a driver's sentence is enough."""
        return self.tier != "bronze"


def rule(tier: Tier, *, applies: Applies = lambda _: None) -> Callable[[Check], Rule]:
    """Make a rule of a function: its name is the key, the first line of its docstring the title."""

    def make(check: Check) -> Rule:
        title = cleandoc(check.__doc__ or "").partition("\n")[0].rstrip(".")
        return Rule(check.__name__, tier, title, applies, check)

    return make


def needs(hook: str, otherwise: str) -> Applies:
    """Say that a rule applies to plugins that implement a hook, and what is said of the others."""

    def applies(integration: Integration) -> str | None:
        return None if integration.has(hook) else otherwise

    return applies


def expect(holds: object, message: str) -> None:
    """Go on if it holds.

    Raises:
        Broken: With the message.
    """
    if not holds:
        raise Broken(message)
