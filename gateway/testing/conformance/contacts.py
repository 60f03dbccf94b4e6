"""Contacts, read page by page: all of them, from any page on, while they change.

And contact sync over it: people made of contacts, link and counts written back.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

from gateway.flows.connections.opening import open_connection
from gateway.storage import connections
from gateway.testing.conformance.rules import Broken, Stage, expect, needs, rule
from gateway.testing.conformance.scenes import connected
from gateway.testing.world import World
from gateway_schemas.sync import ContactPage, ContactSelection

_applies = needs("read_contacts", "It reads no contacts.")
READ_SECONDS = 60.0
LONGEST_CHECKPOINT = 16 * 1024
MOST_PAGES = 1_000
PAUSE = timedelta(seconds=5)
SYNC_PATIENCE = timedelta(hours=1)


async def _page(world: World, connection: str, checkpoint: str | None) -> ContactPage:
    """Read a page as contact sync does."""
    async with world.services.database.read() as conn:
        row = await connections.get(conn, connection)
    assert row is not None
    opened = await open_connection(world.services, row)
    hook = world.integration.hooks.read_contacts(connection=opened, selection=ContactSelection(), checkpoint=checkpoint)
    page = await world.integration.call(hook, timeout_seconds=READ_SECONDS)
    size = len((page.checkpoint or "").encode())
    expect(size <= LONGEST_CHECKPOINT, f"a checkpoint has {size} bytes; at most {LONGEST_CHECKPOINT} are kept")
    return page


async def _walk(world: World, connection: str, checkpoint: str | None = None) -> list[ContactPage]:
    """Read all pages from a checkpoint on; time passes between them."""
    pages: list[ContactPage] = []
    while True:
        pages.append(await _page(world, connection, checkpoint))
        world.clock.advance(PAUSE)
        checkpoint = pages[-1].checkpoint
        if checkpoint is None:
            return pages
        if len(pages) == MOST_PAGES:
            raise Broken(f"after {MOST_PAGES} pages there is still a checkpoint: the walk does not end")


def _ids(pages: list[ContactPage]) -> list[str]:
    return [record.ref.id for page in pages for record in page.contacts]


def _fill(world: World) -> None:
    """Have more contacts than two pages take."""
    for number in range(2 * world.driver.contact_page + 1):
        world.driver.add_contact(f"contact.{number}@example.com")


@rule("gold", applies=_applies)
async def reads_every_contact(stage: Stage) -> None:
    """Reads every contact once, to the last page."""
    async with connected(stage) as (world, connection):
        _fill(world)
        pages = await _walk(world, connection)
        counted = Counter(_ids(pages))
        there = world.driver.contacts()
        missing, strange = sorted(there.keys() - counted.keys()), sorted(counted.keys() - there.keys())
        expect(not missing, f"{len(missing)} of {len(there)} contacts are missing; first: {missing[:3]}")
        expect(not strange, f"contacts that the vendor does not have: {strange[:3]}")
        twice = sorted(one for one, number in counted.items() if number > 1)
        expect(not twice, f"{len(twice)} contacts come more than once; first: {twice[:3]}")
        kind = world.integration.manifest.contact_kind
        kinds = {record.ref.kind for page in pages for record in page.contacts}
        expect(kinds == {kind}, f"contacts are of the kinds {sorted(kinds)}; the manifest says {kind!r}")


@rule("gold", applies=_applies)
async def resumes_reading_contacts(stage: Stage) -> None:
    """Reads on from each checkpoint, in another process, with what comes after it."""
    async with connected(stage) as (world, connection):
        _fill(world)
        pages = await _walk(world, connection)
        expect(len(pages) > 1, "all contacts came in one page; is the driver's contact_page right?")
        for number, page in enumerate(pages[:-1], start=1):
            await world.restart()
            rest = _ids(await _walk(world, connection, page.checkpoint))
            wanted = _ids(pages[number:])
            said = (
                f"from the checkpoint of page {number} come {len(rest)} contacts, not the {len(wanted)} that were left"
            )
            expect(sorted(rest) == sorted(wanted), said)


@rule("gold", applies=_applies)
async def reads_contacts_that_change(stage: Stage) -> None:
    """Misses no contact that was there throughout, while others are edited, added and deleted."""
    async with connected(stage) as (world, connection):
        _fill(world)
        first = await _page(world, connection, None)
        seen = [record.ref.id for record in first.contacts]
        unseen = sorted(world.driver.contacts().keys() - set(seen))
        expect(unseen and seen, "all contacts came in one page; is the driver's contact_page right?")
        world.clock.advance(PAUSE)
        for contact in [*seen, unseen[0]]:
            world.driver.edit_contact(contact)
        world.driver.delete_contact(unseen[-1])
        world.driver.add_contact("added.meanwhile@example.com")
        world.clock.advance(PAUSE)
        rest = _ids(await _walk(world, connection, first.checkpoint)) if first.checkpoint is not None else []
        stayed = {*seen, *unseen[:-1]}
        missed = sorted(stayed - {*seen, *rest})
        expect(not missed, f"{len(missed)} contacts that were there all the time were missed; first: {missed[:3]}")


SYNCS = "/v1/accounts/acme/campaigns/spring/syncs"


async def _synced(world: World) -> dict[str, Any]:
    """Sync all contacts as the manifest suggests, to the end; return the sync as it is then."""
    started = await world.call("POST", SYNCS, {"use_suggested": True})

    async def ended() -> bool:
        return bool((await world.call("GET", f"{SYNCS}/{started['id']}"))["state"] != "running")

    await world.until(ended, within=SYNC_PATIENCE)
    shown: dict[str, Any] = await world.call("GET", f"{SYNCS}/{started['id']}")
    state = shown["state"]
    expect(state == "completed", f"a sync of all contacts is {state}, not completed: {shown['message']}")
    return shown


@rule("gold", applies=_applies)
async def makes_referrers_of_contacts(stage: Stage) -> None:
    """Makes each contact with an e-mail address a referrer with a link, once, and sends nothing that the CRM has."""
    async with connected(stage) as (world, _):
        await world.campaign()
        for number in range(3):
            world.driver.add_contact(f"contact.{number}@example.com")
        first = await _synced(world)
        emails = {email.lower() for email in world.driver.contacts().values() if email}
        for last in (first, await _synced(world)):
            page = await world.call("GET", "/v1/accounts/acme/people?role=referrer&limit=200")
            found = {one["email"]: one for one in page["data"]}
            missing = sorted(emails - found.keys())
            expect(not missing, f"{len(missing)} contacts with an address are no referrers; first: {missing[:3]}")
            expect(len(found) == len(page["data"]), "two referrers have one e-mail address")
            bare = [one["id"] for one in found.values() if not (one["link"] and one["records"])]
            expect(not bare, f"{len(bare)} referrers have no link, or are not linked to their contact")
            lost = last["progress"]["to_write"] + last["progress"]["refused"]
            expect(not lost, f"{lost} contacts do not show their link after the sync")
        again = last["progress"]["written"]
        expect(not again, f"a second sync wrote {again} values that the CRM has already")
        told = first["write_back"] or first["no_write_back"]
        expect(told, "nothing is written back, and the manifest does not say why (contact_sync.no_write_back)")


RULES = (makes_referrers_of_contacts, reads_every_contact, resumes_reading_contacts, reads_contacts_that_change)
