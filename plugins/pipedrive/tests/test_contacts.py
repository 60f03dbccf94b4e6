"""Contacts walked for contact sync: against the sandbox."""

from datetime import timedelta

import msgspec
import pytest

from gateway.sdk.errors import MappingBroken, Rejected, RetryLater
from gateway_pipedrive.client import Pipedrive
from gateway_pipedrive.contacts import OVERLAP, RESTARTS, Checkpoint, read_contacts
from gateway_schemas.sync import ContactSelection
from plugins.pipedrive.tests.openapi import vendor_documents

ALL = ContactSelection()


async def walk(connection, selection=ALL, checkpoint=None):
    """Read to the end; return the pages."""
    pages = []
    while True:
        page = await read_contacts(connection, selection, checkpoint)
        pages.append(page)
        checkpoint = page.checkpoint
        if checkpoint is None:
            return pages


def ids(pages):
    return [one.ref.id for page in pages for one in page.contacts]


async def test_contacts_are_walked_to_the_end_with_and_without_a_filter(sandbox, connection, recorder):
    for number in range(1050):
        sandbox.add_person(f"P {number}", f"p{number}@x.test")
    pages = await walk(connection)
    assert len(ids(pages)) == len(set(ids(pages))) == 1053
    assert (pages[0].total, pages[0].at_most) == (1053, True)
    assert [page.total for page in pages[1:]] == [None, None]
    filtered = await read_contacts(connection, ContactSelection(filter=str(sandbox.demo.filter.id)), None)
    assert "3" not in [one.ref.id for one in filtered.contacts]
    assert recorder.request_problems(vendor_documents()) == []


async def test_a_later_walk_reads_only_what_changed_with_an_overlap(sandbox, connection, clock, recorder):
    clock.advance(timedelta(minutes=30))
    (first,) = await walk(connection)
    resume = msgspec.json.decode(first.resume, type=Checkpoint)
    assert clock() - resume.since == OVERLAP
    clock.advance(timedelta(minutes=10))
    new = sandbox.add_person("New Comer", "new@x.test")
    changed = sandbox.update_person(sandbox.demo.persons[0].id, name="Ada Changed")
    (page,) = await walk(connection, checkpoint=first.resume)
    assert sorted(ids([page])) == sorted([str(new.id), str(changed.id)])
    assert page.total is None
    clock.advance(timedelta(minutes=10))
    (again,) = await walk(connection, checkpoint=page.resume)
    assert ids([again]) == ids([page])  # walks overlap: what changed as the last one began comes again
    (quiet,) = await walk(connection, checkpoint=again.resume)
    assert ids([quiet]) == []
    assert recorder.request_problems(vendor_documents()) == []


async def test_what_changed_of_a_filter_shows_by_a_whole_walk_alone(sandbox, connection):
    selection = ContactSelection(filter=str(sandbox.demo.filter.id))
    (page,) = await walk(connection, selection)
    assert (page.checkpoint, page.resume) == (None, None)


async def test_a_filter_that_was_deleted_is_said_to_be_broken(sandbox, connection):
    sandbox.delete_filter(sandbox.demo.filter.id)
    with pytest.raises(MappingBroken) as broken:
        await read_contacts(connection, ContactSelection(filter=str(sandbox.demo.filter.id)), None)
    assert broken.value.fields == ["filter"]


async def test_a_cursor_that_is_refused_begins_the_walk_again_but_not_for_ever(sandbox, connection, clock):
    dead = Checkpoint(began=clock(), cursor="dead")
    page = await read_contacts(connection, ALL, msgspec.json.encode(dead).decode())
    assert ids([page]) == ["1", "2", "3"]
    worn = msgspec.structs.replace(dead, restarts=RESTARTS)
    with pytest.raises(Rejected, match="marker of the next page"):
        await read_contacts(connection, ALL, msgspec.json.encode(worn).decode())


async def test_a_walk_does_not_read_the_same_page_for_ever(sandbox, connection, clock, monkeypatch):
    async def page(client, params):
        return [], "the-same"

    monkeypatch.setattr(Pipedrive, "persons_page", page)
    stuck = Checkpoint(began=clock(), cursor="the-same")
    with pytest.raises(RetryLater, match="marker of the next page"):
        await read_contacts(connection, ALL, msgspec.json.encode(stuck).decode())
