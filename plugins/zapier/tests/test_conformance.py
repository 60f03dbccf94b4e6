"""Zapier keeps the rules of the conformance suite that are about automations."""

from pathlib import Path

from gateway.testing import IntegrationConformance


class TestConformance(IntegrationConformance):
    """Every rule, one test each."""

    integration = "zapier"
    readme = Path(__file__).parents[1] / "README.md"
