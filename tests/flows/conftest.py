"""The world of ``gateway.testing`` with Pipedrive as the CRM, and its sandbox at hand."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.plugins import discover
from gateway.sdk.clock import Clock
from gateway.testing import world as shipped
from gateway.testing.fake_host import FakeHost
from gateway_pipedrive.sandbox import PipedriveDriver, Sandbox, driver

HOST_KEY = shipped.HOST_KEY
GATEWAY = shipped.GATEWAY_URL


class World(shipped.World):
    """A world whose vendor is Pipedrive."""

    @property
    def sandbox(self) -> Sandbox:
        """The fake vendor, with all its controls."""
        assert isinstance(self.driver, PipedriveDriver)
        return self.driver.sandbox

    async def setup(
        self, account: str = "acme", campaign: str = "spring", role: str = "referred", **changes: Any
    ) -> dict[str, Any]:
        """Save a setup; a contact and a lead unless the test says otherwise."""
        return await super().setup(account, campaign, role, **{"target": "lead", **changes})


@pytest.fixture
async def make_world(database_url: str, database: Any):
    """Make worlds over the migrated database of this test; several are several processes."""
    async with AsyncExitStack() as stack:

        async def make(
            *,
            clock: Clock | None = None,
            sandbox: Sandbox | None = None,
            host: FakeHost | None = None,
            sandbox_options: dict[str, Any] | None = None,
            **changes: Any,
        ) -> World:
            made = SimpleNamespace(driver=partial(driver, **(sandbox_options or {})))
            return await stack.enter_async_context(
                shipped.open_world(
                    shipped.Subject("pipedrive", discover, made),
                    database_url=database_url,
                    world=World,
                    clock=clock or database.clock,
                    driver=None if sandbox is None else PipedriveDriver(sandbox),
                    host=host,
                    **changes,
                )
            )

        yield make


@pytest.fixture
async def world(make_world) -> AsyncIterator[World]:
    """One process: gateway, sandbox and fake host."""
    return await make_world()
