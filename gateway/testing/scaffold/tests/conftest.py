"""Which integration the world of ``gateway_world`` has."""

import pytest


@pytest.fixture
def gateway_integration():
    return "acme"
