"""``gateway sync``: sync the contacts of a campaign, with a progress bar."""

import asyncio
from typing import BinaryIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gateway.app import create_worker, open_services
from gateway.errors import Refused
from gateway.flows.contact_sync import progress, start
from gateway.flows.services import Services
from gateway.settings import Settings, load
from gateway_schemas.sync import SelectionInput, Sync, SyncInput, SyncPatch


@click.command()
@click.argument("account")
@click.argument("campaign")
@click.option("--filter", "filter_", help="Only the contacts of this saved filter, by its id.")
@click.option("--mapping", type=click.File("rb"), help="A JSON file with a SyncInput; default: the suggested mapping.")
@click.option("--create-fields", is_flag=True, help="Create the fields for links and counts that the CRM lacks.")
@click.option("--ongoing", is_flag=True, help="Go on with new and changed contacts.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and start nothing.")
@click.option("--watch", is_flag=True, help="Only show how far it is; another process does the work.")
def sync(
    account: str,
    campaign: str,
    filter_: str | None,
    mapping: BinaryIO | None,
    create_fields: bool,
    ongoing: bool,
    dry_run: bool,
    watch: bool,
) -> None:
    """Sync the contacts of ACCOUNT's CRM into CAMPAIGN; Ctrl-C stops watching, and the sync goes on.

    While one is open, that one is shown. An interrupted run is taken up where it was.
    """
    given = SyncInput(use_suggested=True)
    if mapping is not None:
        try:
            given = msgspec.json.decode(mapping.read(), type=SyncInput)
        except msgspec.DecodeError as error:
            raise click.UsageError(f"--mapping: {error}") from error
    if filter_ is not None:
        given = msgspec.structs.replace(given, selection=SelectionInput(filter=filter_))
    given = msgspec.structs.replace(given, ongoing=ongoing or given.ongoing)
    asyncio.run(_sync(account, campaign, given, create_fields=create_fields, dry_run=dry_run, watch=watch))


async def _sync(
    account: str, campaign: str, given: SyncInput, *, create_fields: bool, dry_run: bool, watch: bool
) -> None:
    async with open_services(load(Settings)) as services:
        try:
            if create_fields and not dry_run:
                made = await start.make_fields(services, account, campaign, given.connection)
                click.echo(f"fields created: {', '.join(made.created) or 'none, all were there'}")
                given = msgspec.structs.replace(given, write_back=made.write_back)
            told = await start.estimate(services, account, campaign, given)
            for sentence in told.sentences:
                click.echo(sentence)
            if dry_run:
                return
            found, begins = await start.start(services, account, campaign, given)
        except Refused as error:
            for one in error.problems:
                click.echo(f"{one.field}: {one.message}", err=True)
            raise
        if not begins:
            click.echo(f"{found.id} is {found.state} already; this is how far it is.")
        if not watch and found.state == "paused" and found.cause == "by_request":
            found = await start.patch(services, account, campaign, found.id, SyncPatch(paused=False))
        await _run(services, found, work=not watch)


async def _run(services: Services, found: Sync, *, work: bool) -> None:
    """Show a sync until nothing is left to do now, with a worker of our own beside it."""
    worker = create_worker(services)
    running = asyncio.create_task(worker.run()) if work else None
    try:
        last = await show(services, found)
    finally:
        if running is not None:
            await worker.stop()
            await running
    said = last.progress
    skipped = ", ".join(f"{reason} {number}" for reason, number in said.skipped.items()) or "none"
    click.echo(f"{last.state}: {said.imported} referrers, {said.written} written back, skipped: {skipped}")
    if last.message:
        click.echo(last.message)
    if last.no_write_back and not last.write_back:
        click.echo(last.no_write_back)
    if last.state == "needs_attention":
        raise SystemExit(1)


async def show(services: Services, found: Sync, console: Console | None = None) -> Sync:
    """Draw bars for what is read and written until the sync waits for nothing that we do; return it as it is then."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    last = found
    with Progress(*columns, console=console) as bars:
        reading = bars.add_task("read", total=None, left="")
        writing = bars.add_task("written back", total=None, left="", visible=bool(found.write_back))
        async for state in await progress.watch(services, found.account, found.campaign, found.id):
            last = state
            draw(bars, reading, writing, state)
            if state.state not in ("running", "watching") or (state.state == "watching" and state.phase == "done"):
                break
            if state.phase == "awaiting_links":
                break
    return last


def draw(bars: Progress, reading: TaskID, writing: TaskID, state: Sync) -> None:
    """Draw one state of a sync."""
    said = state.progress
    done_reading = state.phase != "reading"
    bars.update(
        reading,
        completed=said.read,
        total=said.read if done_reading else said.total,
        left="" if done_reading else left_of(state),
    )
    bars.update(
        writing,
        completed=said.written,
        total=said.written + said.to_write,
        left=left_of(state) if state.phase == "writing_back" else "",
    )


def left_of(state: Sync) -> str:
    """Return the time left in words, and what bounds it."""
    seconds = state.progress.seconds_left
    if seconds is None:
        return ""
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} days left, by the vendor's daily budget"
    words = f"{seconds / 3600:.1f} h left" if seconds >= 3600 else f"{seconds:.0f} s left"
    return f"{words}, by the vendor's daily budget" if state.progress.bound_by == "daily_budget" else words
