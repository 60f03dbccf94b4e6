"""ServiceTitan keeps the rules of the conformance suite (on PostgreSQL: ``tests/conformance/test_plugins.py``)."""

from pathlib import Path

from gateway.testing import IntegrationConformance


class TestConformance(IntegrationConformance):
    """Every rule, one test each."""

    integration = "servicetitan"
    readme = Path(__file__).parents[1] / "README.md"
