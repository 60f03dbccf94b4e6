"""The suite as a test class: a plugin's tests derive from it and name the integration."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from gateway.testing.conformance import card
from gateway.testing.conformance.rules import Rule
from gateway.testing.conformance.run import RULES, check
from gateway.testing.world import Subject

PROPERTY = "gateway_conformance"
"""Under this name a test tells the end of the run what came out of a rule."""


class IntegrationConformance:
    """Every rule, one test each, and that the README carries the card.

    In a plugin's ``tests/test_conformance.py``::

        class TestConformance(IntegrationConformance):
            integration = "acme"
            readme = Path(__file__).parents[1] / "README.md"

    Attributes:
        integration: Key of the installed integration.
        readme: Where the quality card stands; ``None``: nowhere.
    """

    integration: ClassVar[str] = ""
    readme: ClassVar[Path | None] = None

    def subject(self) -> Subject:
        """Return the plugin and its vendor; default: the installed ones."""
        return Subject.installed(self.integration)

    @pytest.fixture
    def conformance_database_url(self) -> str | None:
        """A database that has the schema; default: a new SQLite file for each world. Override it for another kind."""
        return None

    @pytest.mark.parametrize("rule", RULES, ids=lambda one: one.key)
    def test_rule(
        self, rule: Rule, conformance_database_url: str | None, record_property: Callable[[str, object], None]
    ) -> None:
        """The plugin keeps the rule; where it does not apply, the test is skipped with the sentence that says why."""
        outcome = asyncio.run(check(rule, self.subject(), conformance_database_url))
        record_property(PROPERTY, [self.integration, outcome.rule, outcome.state, outcome.text, list(outcome.notes)])
        if outcome.state == "exempt":
            pytest.skip(outcome.text)
        if outcome.state == "broken":
            pytest.fail(f"{rule.title}: {outcome.text}", pytrace=False)

    def test_the_readme_carries_the_card(self) -> None:
        """The README shows the card that the rules give; while a rule is broken, the rule's own test says so."""
        if self.readme is None:
            pytest.skip("no README is named")
        now = self.readme.read_text()
        current = card.written(now, self.integration, card.render(card.expected(self.subject())))
        if now != current:
            pytest.fail(
                f"the card is not current: run `gateway check-plugin {self.integration} --write {self.readme.name}`",
                pytrace=False,
            )
