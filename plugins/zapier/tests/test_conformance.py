"""Zapier keeps the rules of the conformance suite, on both databases."""

from pathlib import Path

import pytest

from gateway.testing import IntegrationConformance


class TestConformance(IntegrationConformance):
    """Every rule, one test each."""

    integration = "zapier"
    readme = Path(__file__).parents[1] / "README.md"

    @pytest.fixture
    def conformance_database_url(self, database_url: str) -> str:
        """Once on each kind of database."""
        return database_url
