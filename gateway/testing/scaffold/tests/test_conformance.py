"""The plugin keeps the rules of the conformance suite, against its sandbox."""

from pathlib import Path

from gateway.testing import IntegrationConformance


class TestConformance(IntegrationConformance):
    """Every rule, one test each."""

    integration = "acme"
    readme = Path(__file__).parents[1] / "README.md"
