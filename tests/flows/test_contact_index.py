"""Contacts that are there already: read from feeds into the index, asked before a booking is made, waited for."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.flows.people.erase import erase
from gateway.sdk.errors import OutcomeUnknown, RetryLater
from gateway.storage.tables import metadata, seen_contacts, seen_emails
from gateway.storage.tables import tasks as tasks_table

from .booked import Booked, open_office
from .toys import Vendor


@pytest.fixture
def crm(clock):
    return Booked(clock)


@pytest.fixture
async def open_process(database_url, database, crm):
    async with AsyncExitStack() as stack:
        vendor = Vendor()

        async def make(**changes):
            return await open_office(stack, database_url, database.clock, vendor, crm, **changes)

        yield make


@pytest.fixture
async def office(open_process):
    return await open_process()


async def rows(office, table):
    async with office.services.database.read() as conn:
        return list(await conn.execute(select(table)))


async def test_an_email_that_is_a_contact_gets_no_booking_and_the_timeline_says_so(office, crm):
    crm.customer(5, "friend@example.com", "other@example.com")
    connection = await office.connected()
    await office.drain()
    assert await office.index(connection) == {"complete": True, "contacts_read": 1, "waits_until": None}
    await office.ready(qualification={"trigger": "booking_to_job"})
    there, new = await office.signup("Friend@Example.com"), await office.signup("new@example.com")
    await office.drain()
    shown = await office.person(there)
    assert (shown["crm"], shown["crm_cause"], shown["records"]) == ("linked", "existing_contact", [])
    assert "Already a contact in the CRM: nothing was written." in await office.said(there)
    assert "cannot qualify" in (await office.why(there))["note"]
    assert (await office.person(new))["records"][0]["ref"] == {"kind": "booking", "id": "1"}
    assert (await office.person(new))["crm_cause"] is None
    ledger = await office.call("GET", "/v1/ledger?account=acme")
    assert (ledger["accepted"], ledger["delivered"], ledger["balanced"]) == (2, 2, True)


async def test_a_named_existing_contact_is_linked_and_cannot_qualify(office, crm):
    crm.customer(5, "friend@example.com")
    crm.asks_customers = True
    await office.connected()
    await office.drain()
    await office.ready()
    person = await office.signup()
    await office.drain()
    shown = await office.person(person)
    assert (shown["crm_cause"], shown["records"][0]["ref"]) == ("existing_contact", {"kind": "contact", "id": "5"})
    assert crm.bookings == {}


async def test_a_referrer_who_is_a_contact_gets_no_booking_either(office, crm):
    crm.customer(5, "rita@example.com")
    await office.connected()
    await office.drain()
    await office.ready()
    body = {"target": "booking", "use_suggested": True}
    await office.call("PUT", "/v1/accounts/acme/campaigns/spring/setups/referrer", body)
    person = await office.signup("rita@example.com", role="referrer")
    await office.drain()
    shown = await office.person(person)
    assert (shown["crm"], shown["crm_cause"], shown["role"]) == ("linked", "existing_contact", "referrer")
    assert "Already a contact in the CRM: nothing was written." in await office.said(person)
    assert crm.bookings == {}


async def test_who_may_book_all_the_same_waits_for_nothing(office, crm):
    crm.customer(5, "friend@example.com")
    await office.connected()
    crm.errors["contacts"] = [RetryLater("not now", after_seconds=3_600, lane_wide=False)]
    await office.ready(duplicates="create")
    person = await office.signup()
    await office.drain()
    assert (await office.person(person))["records"][0]["ref"]["kind"] == "booking"
    assert "Not checked" not in await office.said(person)


async def test_a_push_waits_until_the_first_walk_is_complete_and_people_see_why(office, crm):
    for number in range(7):
        crm.customer(number, f"c{number}@example.com")
    crm.page = 3
    connection = await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("not now", after_seconds=600, lane_wide=False)]
    there, new = await office.signup("c6@example.com"), await office.signup("new@example.com")
    await office.drain()
    index = await office.index(connection)
    assert (index["complete"], index["contacts_read"]) == (False, 0)
    assert index["waits_until"] is not None
    for person in (there, new):
        shown = await office.person(person)
        assert (shown["crm"], shown["crm_cause"]) == ("waiting", "contact_index")
        assert "The contact index is being built (0 contacts read)" in await office.said(person)
    assert "index is being built" in (await office.why(new))["note"]
    ledger = await office.call("GET", "/v1/ledger?account=acme")
    assert (ledger["parked"], ledger["balanced"]) == (2, True)
    events = await office.call("GET", "/v1/events?after=0&limit=200")
    assert [one["data"]["cause"] for one in events["data"] if one["type"] == "signup.parked"] == ["contact_index"] * 2
    await office.later(minutes=11)
    assert await office.index(connection) == {"complete": True, "contacts_read": 7, "waits_until": None}
    assert (await office.person(there))["crm_cause"] == "existing_contact"
    assert (await office.person(new))["records"][0]["ref"]["kind"] == "booking"
    assert "Not checked" not in await office.said(new)
    assert len(crm.bookings) == 1
    again = await office.signup("c1@example.com")
    await office.drain()
    assert (await office.person(again))["crm_cause"] == "existing_contact", "afterwards nobody waits"


async def test_after_the_set_time_signups_go_out_and_say_that_nobody_checked(office, crm, clock):
    crm.page = 1
    for number in range(3):
        crm.customer(number, f"c{number}@example.com")
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("down", after_seconds=3_600, lane_wide=False)] * 40
    early, late = await office.signup("one@example.com"), None
    await office.later(hours=11)
    assert (await office.person(early))["crm"] == "waiting"
    await office.later(hours=1, minutes=1)
    assert (await office.person(early))["crm"] == "linked"
    assert "Not checked: the contact index was not complete (0 contacts read)" in await office.said(early)
    late = await office.signup("two@example.com")
    await office.drain()
    assert (await office.person(late))["crm"] == "linked", "nobody waits any more"
    push = next(about for what, about in crm.calls if what == "create")
    assert (push.existing, push.existing_complete) == ((), False)


async def test_a_setting_of_zero_hours_waits_for_nothing(open_process, crm):
    office = await open_process(contact_index_hours=0)
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("down", after_seconds=3_600, lane_wide=False)]
    person = await office.signup()
    await office.drain()
    assert "Not checked" in await office.said(person)


async def test_whom_the_vendors_own_search_finds_waits_for_no_index(open_process, crm):
    crm.searchable = True
    office = await open_process()
    crm.customer(5, "friend@example.com")
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("down", after_seconds=3_600, lane_wide=False)]
    person = await office.signup()
    await office.drain()
    assert (await office.person(person))["crm_cause"] == "existing_contact"


async def test_an_empty_answer_of_the_search_settles_nothing_before_the_index_is_complete(open_process, crm):
    crm.searchable = True
    office = await open_process()
    crm.customer(5, "friend@example.com")
    crm.unsearched = {"5"}  # a contact that the vendor's search does not know
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("down", after_seconds=600, lane_wide=False)]
    there, new = await office.signup(), await office.signup("new@example.com")
    await office.drain()
    for person in (there, new):
        assert (await office.person(person))["crm_cause"] == "contact_index"
    await office.later(minutes=11)
    assert (await office.person(there))["crm_cause"] == "existing_contact"
    assert (await office.person(new))["records"][0]["ref"]["kind"] == "booking"
    assert len(crm.bookings) == 1


async def test_a_push_that_waited_long_enough_says_that_an_empty_search_was_no_check(open_process, crm):
    crm.searchable = True
    office = await open_process(contact_index_hours=0)
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("down", after_seconds=3_600, lane_wide=False)]
    person = await office.signup()
    await office.drain()
    assert "Not checked" in await office.said(person)
    push = next(about for what, about in crm.calls if what == "create")
    assert (push.existing, push.existing_complete) == ((), False)


async def test_a_search_that_the_account_may_not_use_falls_back_to_the_index_and_is_not_asked_each_time(
    open_process, crm
):
    crm.searchable = False
    office = await open_process()
    crm.customer(5, "friend@example.com")
    await office.connected()
    await office.ready()
    await office.drain()
    people = [await office.signup(), *[await office.signup(f"n{number}@example.com") for number in range(3)]]
    await office.drain()
    assert (await office.person(people[0]))["crm_cause"] == "existing_contact"
    assert len(crm.bookings) == 3
    assert crm.count("search") == 1


async def test_the_search_finds_what_the_index_does_not_know_yet(open_process, crm):
    crm.searchable = True
    office = await open_process()
    await office.connected()
    await office.ready()
    await office.drain()
    crm.customer(9, "friend@example.com")  # the feed is read again in some minutes
    person = await office.signup()
    await office.drain()
    assert (await office.person(person))["crm_cause"] == "existing_contact"


async def test_a_walk_goes_on_at_its_checkpoint_in_another_process(open_process, crm):
    for number in range(10):
        crm.customer(number, f"c{number}@example.com")
    crm.page = 2
    office = await open_process()
    connection = await office.connected()
    crm.errors["contacts"] = []
    seen = []

    def stop(what, about=None, asked=crm.asked):
        asked(what, about)
        if what == "contacts":
            seen.append(about)
            if about == "4":
                raise RetryLater("the process is about to die", after_seconds=1, lane_wide=False)

    crm.asked = stop
    await office.drain()
    assert (await office.index(connection))["contacts_read"] == 4
    del crm.asked
    other = await open_process()
    await other.later(minutes=1)
    pages = [about for what, about in crm.calls if what == "contacts"]
    assert pages == [None, "2", "4", "4", "6", "8"], "no page is read twice but the one that failed"
    assert (await other.index(connection))["complete"] is True
    assert len(await rows(other, seen_contacts)) == 10


async def test_a_page_whose_commit_fails_leaves_neither_contacts_nor_checkpoint(office, crm, monkeypatch):
    from gateway.storage import checkpoints

    crm.customer(1, "a@example.com")
    connection = await office.connected()
    failing = [RuntimeError("the process dies in its transaction")]
    advance = checkpoints.advance

    async def dying(conn, connection_id, feed, checkpoint, now):
        await advance(conn, connection_id, feed, checkpoint, now)
        if feed == "contacts" and failing:
            raise failing.pop()

    monkeypatch.setattr("gateway.flows.referrals.feeds.checkpoints.advance", dying)
    await office.drain()
    assert not failing
    first = [len(await rows(office, table)) for table in (seen_contacts, seen_emails)]
    assert first in ([0, 0], [1, 1]), "both, or neither"
    await office.later(minutes=10)
    assert [len(await rows(office, table)) for table in (seen_contacts, seen_emails)] == [1, 1]
    assert (await office.index(connection))["contacts_read"] == 1


async def test_changes_of_contacts_are_followed_merges_too(office, crm):
    crm.customer(1, "a@example.com")
    crm.customer(2, "b@example.com")
    await office.connected()
    await office.ready()
    await office.drain()
    crm.customer(1, "a@example.com", active=False, merged_into="2")
    crm.customer(2, "b@example.com", "c@example.com")
    crm.contacts.append(crm.contacts[1].__class__(id="3", emails=["d@example.com"]))
    crm.contacts.append(crm.contacts[1].__class__(id="3", emails=None, active=False))
    await office.later(minutes=6)
    people = {name: await office.signup(f"{name}@example.com") for name in "abcd"}
    await office.drain()
    causes = {name: (await office.person(person))["crm_cause"] for name, person in people.items()}
    assert causes == {"a": "existing_contact", "b": "existing_contact", "c": "existing_contact", "d": None}


async def test_what_was_known_before_the_first_write_decides_at_every_attempt(office, crm):
    await office.connected()
    await office.ready()
    await office.drain()
    crm.errors["created"] = [OutcomeUnknown("no full answer")]
    person = await office.signup()
    await office.drain()
    assert len(crm.bookings) == 1
    crm.customer(8, "friend@example.com")  # the CRM made a customer of our booking
    await office.later(minutes=6)
    shown = await office.person(person)
    assert (shown["crm_cause"], shown["records"][0]["ref"]) == (None, {"kind": "booking", "id": "1"})
    assert len(crm.bookings) == 1


async def test_no_address_and_no_name_is_stored(office, crm):
    crm.customer(1, "somebody@example.com")
    await office.connected()
    await office.drain()
    async with office.services.database.read() as conn:
        for table in metadata.tables.values():
            for row in await conn.execute(select(table)):
                assert "somebody@example.com" not in repr(row), table.name


async def test_erasing_somebody_takes_the_email_out_of_the_index(office, crm):
    crm.customer(1, "friend@example.com", "second@example.com")
    await office.connected()
    await office.ready()
    await office.drain()
    await office.signup()
    await office.drain()
    assert await erase(office.services, "acme", "friend@example.com") == 1
    assert len(await rows(office, seen_emails)) == 1
    assert await erase(office.services, "acme", "second@example.com") == 0
    assert await rows(office, seen_emails) == []


async def test_connecting_the_same_tenant_again_goes_on_with_its_index_and_waits_until_it_is_up_to_date(office, crm):
    crm.customer(1, "a@example.com")
    first = await office.connected()
    await office.ready()
    await office.drain()
    await office.call("DELETE", f"/v1/connections/{first}")
    crm.customer(2, "b@example.com")
    await office.later(days=3)
    second = await office.connected()
    person = await office.signup("b@example.com")
    crm.errors["contacts"] = [RetryLater("not now", after_seconds=60, lane_wide=False)]
    await office.drain()
    assert (await office.person(person))["crm_cause"] == "contact_index", "what changed meanwhile is not known yet"
    await office.later(minutes=2)
    assert (await office.person(person))["crm_cause"] == "existing_contact"
    asked = [about for what, about in crm.calls if what == "contacts"]
    assert asked[-1] == "1", "it was not read from the beginning"
    assert (await office.index(second))["complete"] is True


async def test_the_index_of_a_tenant_that_is_not_connected_any_more_is_deleted_after_its_time(office, crm):
    crm.customer(1, "a@example.com")
    connection = await office.connected()
    await office.drain()
    await office.call("DELETE", f"/v1/connections/{connection}")
    await office.later(days=29)
    assert len(await rows(office, seen_contacts)) == 1
    for _ in range(3):
        await office.later(days=1)
    assert await rows(office, seen_contacts) == await rows(office, seen_emails) == []
    again = await office.connected()
    await office.drain()
    assert (await office.index(again))["contacts_read"] == 1, "the walk begins anew, whatever its checkpoint"
    assert len(await rows(office, seen_contacts)) == 1


async def test_a_preview_shows_who_is_there_and_whether_anybody_could_check(office, crm):
    crm.customer(5, "friend@example.com")
    await office.connected()
    await office.ready()
    path = "/v1/accounts/acme/campaigns/spring/setups/referred/preview"
    sample = {"person": {"email": "friend@example.com", "first_name": "F", "last_name": "F"}}
    crm.errors["contacts"] = [RetryLater("not now", after_seconds=60, lane_wide=False)]
    await office.drain()
    shown = await office.call("POST", path, sample)
    assert any("Not checked" in one["message"] for one in shown["problems"])
    await office.later(minutes=2)
    shown = await office.call("POST", path, sample)
    assert shown["existing"] == ["5"]
    assert "Booked CRM has a contact with this e-mail: 5." in shown["duplicate"]
    assert shown["requests"] == []


async def test_many_waiting_signups_are_let_go_by_one_task(office, crm):
    await office.connected()
    await office.ready()
    crm.errors["contacts"] = [RetryLater("not now", after_seconds=60, lane_wide=False)]
    body = {
        "signups": [
            {"role": "referred", "person": {"email": f"p{n}@example.com", "first_name": "P", "last_name": "P"}}
            for n in range(40)
        ]
    }
    await office.call("POST", "/v1/accounts/acme/campaigns/spring/signups", body)
    await office.drain()
    async with office.services.database.read() as conn:
        statement = select(tasks_table.c.state, tasks_table.c.kind).where(tasks_table.c.kind == "push_signup")
        assert {state for state, _ in await conn.execute(statement)} == {"parked"}
        release = select(tasks_table.c.id).where(tasks_table.c.kind == "release_indexed")
        assert len(list(await conn.execute(release))) == 1
    office.clock.advance(timedelta(minutes=2))
    await office.drain()
    assert len(crm.bookings) == 40
    ledger = await office.call("GET", "/v1/ledger?account=acme")
    assert (ledger["delivered"], ledger["balanced"]) == (40, True)
