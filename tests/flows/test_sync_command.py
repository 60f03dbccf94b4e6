"""``gateway sync``: the command does the work itself and draws how far it is."""

import asyncio
from functools import partial

import pytest
from click.testing import CliRunner

import gateway.cli.sync as command
from gateway.app import open_services
from gateway.flows.contact_sync import pages

from .test_contact_sync import LINKS, begin, held, patch, referrers, shown
from .test_contact_sync_budget import fill


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is claimed here does not depend on the kind of database."""
    return sqlite_url


@pytest.fixture
def run(world, monkeypatch):
    """Run the command as a process of its own, beside the one that serves the API."""
    opened = partial(
        open_services, environ=world.driver.environ(), integrations=world.subject.registry(), clock=world.clock,
        vendor_transport=world.network, webhook_transport=world.network,
    )  # fmt: skip
    monkeypatch.setattr(command, "open_services", opened)
    monkeypatch.setattr(command, "load", lambda _shape: world.services.settings)

    async def invoke(*arguments):
        runner = CliRunner(env={"COLUMNS": "120", "TERM": "dumb"})
        return await asyncio.to_thread(runner.invoke, command.sync, ["acme", "spring", *arguments])

    return invoke


async def ready(world):
    await world.account()
    await world.connect()
    await world.campaign()


async def test_the_command_syncs_and_draws_what_is_read_and_written(world, run, monkeypatch):
    monkeypatch.setattr(pages, "BATCH_CONTACTS", 1)
    await ready(world)
    fill(world, 40)
    done = await run("--create-fields")
    assert done.exit_code == 0, done.output
    said = done.output.splitlines()
    assert said[0].startswith("fields created: ")
    assert "Contacts are not notified." in done.output
    bars = {name: [line for line in said if line.startswith(name)] for name in ("read", "written back")}
    assert "43/43" in bars["read"][-1], done.output
    assert "42/42" in bars["written back"][-1], done.output
    assert said[-1] == "completed: 42 referrers, 42 written back, skipped: no_email 1"
    assert held(world, "ada@customer.test").startswith(LINKS)
    assert len(await referrers(world)) == 42


async def test_a_dry_run_says_what_it_takes_and_starts_nothing(world, run):
    await ready(world)
    told = await run("--dry-run")
    assert told.exit_code == 0, told.output
    assert "There are 3 contacts." in told.output
    page = await world.call("GET", "/v1/accounts/acme/campaigns/spring/syncs")
    assert page["data"] == []
    assert not await referrers(world)


async def test_a_sync_that_somebody_paused_is_taken_up_where_it_was(world, run):
    sync = await begin(world)
    await patch(world, sync, paused=True)
    done = await run()
    assert done.exit_code == 0, done.output
    assert f"{sync['id']} is paused already; this is how far it is." in done.output
    assert "completed: 2 referrers" in done.output
    assert (await shown(world, sync))["state"] == "completed"


async def test_what_is_refused_is_named(world, run):
    await ready(world)
    refused = await run("--filter", "4711")
    assert refused.exit_code != 0
    assert "selection.filter: " in refused.output, refused.output


async def test_a_sync_that_cannot_go_on_says_why_and_ends_with_an_error(world, run):
    await begin(world)
    world.sandbox.delete_field(world.sandbox.demo.person_fields["Referral Link"].code)
    stopped = await run()
    assert stopped.exit_code == 1, stopped.output
    assert "needs_attention: 2 referrers, 0 written back" in stopped.output
    assert "Choose another" in stopped.output


async def test_who_only_watches_does_no_work(world, run):
    sync = await begin(world)
    watching = asyncio.create_task(run("--watch"))
    while not watching.done():
        await world.worker.drain()
        await asyncio.sleep(0.05)
    done = await watching
    assert done.exit_code == 0, done.output
    assert "completed: 2 referrers" in done.output
    assert (await shown(world, sync))["progress"]["written"] == 2
