"""Link, code and counts reach the CRM as they are now, once, and the host is told."""

import pytest
from sqlalchemy import update

from gateway.errors import Refused
from gateway.flows.people import people as flow
from gateway.flows.people import status_updates
from gateway.storage.tables import people
from gateway_schemas.person import Counts, PersonPatch


async def referrer(toy, email="rita@example.com", **changes):
    person = await toy.sign_up(email, role="referrer", **changes)
    await toy.drain()
    return person


async def test_a_referral_writes_the_newest_count_once(toy):
    await toy.connect()
    rita = await referrer(toy)
    for n in range(5):
        await toy.sign_up(f"p{n}@example.com", referrer={"email": "rita@example.com"})
    await toy.drain()
    (written,) = toy.crm.statuses
    assert written[1]["count"] == "5"
    assert (await toy.events(rita))[-1] == "referrer.stats_updated"
    assert [task.state for task in await toy.tasks("push_status")] == ["done"]


async def test_a_change_while_a_write_runs_makes_another_write(toy):
    await toy.connect()
    rita = await referrer(toy)
    await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://one.example/"))
    await toy.drain()
    await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://two.example/"))
    await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://three.example/"))
    await toy.drain()
    assert [values["link"] for _, values in toy.crm.statuses] == ["https://one.example/", "https://three.example/"]


async def test_nothing_is_written_for_who_has_no_record(toy):
    rita = await referrer(toy)
    await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://one.example/"))
    await toy.drain()
    assert await toy.tasks("push_status") == []


async def test_what_changes_on_the_way_into_the_crm_is_written_after_it(toy):
    await toy.connect()
    rita = await toy.sign_up("rita@example.com", role="referrer")

    async def changes_link(make):
        await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://new.example/"))
        return make()

    toy.crm.next("contact", changes_link)
    await toy.drain()
    assert [values["link"] for _, values in toy.crm.statuses] == ["https://new.example/"]


async def test_a_record_that_is_gone_is_remembered_as_gone(toy):
    await toy.connect()
    rita = await referrer(toy)
    toy.crm.records.clear()
    await status_updates.update(toy.services, "acme", rita, PersonPatch(link="https://one.example/"))
    await toy.drain()
    assert (await toy.person(rita)).crm == "gone"
    assert await toy.links(rita) == []
    shown = await flow.find(toy.services, "acme", rita)
    assert [one.gone for one in shown.records] == [True]


async def test_the_hosts_counts_are_the_base_and_ours_are_added(toy):
    rita = await referrer(toy)
    await toy.sign_up("a@example.com", referrer={"email": "rita@example.com"})
    shown = await status_updates.update(
        toy.services, "acme", rita, PersonPatch(counts=Counts(referrals=40, qualified=7))
    )
    assert shown.counts == Counts(referrals=40, qualified=7)
    await toy.sign_up("b@example.com", referrer={"email": "rita@example.com"})
    assert (await flow.find(toy.services, "acme", rita)).counts == Counts(referrals=41, qualified=7)


async def test_updates_of_a_list_are_done_or_refused_each_on_its_own(toy):
    rita = await referrer(toy, person={"external_id": "u-1", "code": "RITA"})
    paul = await referrer(toy, "paul@example.com", person={"external_id": "u-2"})
    friend = await toy.sign_up(person={"external_id": "u-2"})
    raw = [
        {"person": rita, "link": "https://rita.example/"},
        {"person": "ext:u-1", "counts": {"referrals": 3, "qualified": 1}},
        {"person": paul, "code": "RITA"},
        {"person": "ext:u-2", "link": "https://x.example/"},
        {"person": "per_unknown", "link": "https://x.example/"},
        {"person": friend, "counts": {"referrals": 1}},
        {"person": rita, "colour": "red"},
        {"person": paul, "code": "PAUL"},
        {"person": paul, "link": "no link"},
        {"person": paul, "counts": {"referrals": -1}},
    ]
    results = await status_updates.update_many(toy.services, "acme", "spring", raw)
    assert [(one.problems[0].field, one.problems[0].code) if one.problems else None for one in results] == [
        None,
        None,
        ("code", "taken"),
        ("person", "ambiguous"),
        ("person", "not_found"),
        ("counts", "wrong_role"),
        ("colour", "unknown_field"),
        None,
        ("link", "invalid"),
        ("counts.referrals", "invalid"),
    ]
    rita_now = await toy.person(rita)
    assert (rita_now.link, rita_now.base_referrals, rita_now.code) == ("https://rita.example/", 3, "RITA")
    paul_now = await toy.person(paul)
    assert (paul_now.code, paul_now.link) == ("PAUL", "https://r.example/PAUL")


async def test_people_are_found_by_name_email_code_and_id(toy):
    rita = await referrer(
        toy, person={"first_name": "Rita", "last_name": "O'Hara", "external_id": "u-1", "code": "RITA"}
    )
    await toy.sign_up("other@example.com", test=False)
    for q in ("rita", "O'H", "RITA@example.com", "RITA", "u-1", "ext:u-1", rita):
        page = await flow.find_page(toy.services, flow.query_for(toy.services, "acme", q=q))
        assert [one.id for one in page.data] == [rita], q
    for q in ("%", "_", "nobody@example.com"):
        assert (await flow.find_page(toy.services, flow.query_for(toy.services, "acme", q=q))).data == [], q
    assert (await flow.find(toy.services, "acme", "ext:u-1")).id == rita


async def test_lists_come_in_pages_and_filtered(toy):
    ids = [await toy.sign_up(f"p{n}@example.com", campaign=("spring", "autumn")[n % 2]) for n in range(5)]
    found, cursor = [], None
    while True:
        page = await flow.find_page(toy.services, flow.query_for(toy.services, "acme", limit=2, cursor=cursor))
        found += [one.id for one in page.data]
        if (cursor := page.next) is None:
            break
    assert found == sorted(ids, reverse=True)
    query = flow.query_for(toy.services, "acme", campaign="autumn", role="referred", state="held")
    assert len((await flow.find_page(toy.services, query)).data) == 2
    assert (await flow.find_page(toy.services, flow.query_for(toy.services, "acme", state="qualified"))).data == []


async def test_csv_takes_no_cell_for_a_formula(toy):
    await toy.sign_up(person={"first_name": "=cmd|'/c calc'!A1", "last_name": '@SUM("1")', "phone": "+49 170 1"})
    parts = [part async for part in await flow.as_csv(toy.services, flow.query_for(toy.services, "acme"))]
    text = "".join(parts)
    assert "'=cmd" in text
    assert "'@SUM" in text
    assert "'+49" in text
    with pytest.raises(Refused):
        await flow.as_csv(toy.services, flow.query_for(toy.services, "nobody"))


async def test_an_external_id_of_several_people_is_ambiguous_by_itself(toy):
    first = await toy.sign_up(person={"external_id": "u-1"})
    await toy.sign_up("rita@example.com", role="referrer", person={"external_id": "u-1"})
    with pytest.raises(Refused) as refused:
        await flow.find(toy.services, "acme", "ext:u-1")
    assert refused.value.code == "ambiguous"
    assert first in refused.value.detail


async def test_the_timeline_tells_what_happened_in_order(toy):
    await toy.connect()
    person = await toy.sign_up()
    await toy.drain()
    told = await flow.tell_timeline(toy.services, "acme", person)
    assert [one.kind for one in told.entries] == ["signup.accepted", "push.step", "push.step", "signup.delivered"]
    assert "lead 2 was created" in told.entries[-1].text


async def test_the_ledger_balances_and_shows_what_is_lost(toy):
    from gateway.flows.people import ledger
    from gateway.sdk import errors
    from gateway.storage.tables import tasks

    await toy.sign_up("held@example.com")
    await toy.connect()
    toy.crm.next("contact", toy.before(errors.Rejected("no")))
    await toy.sign_up("refused@example.com")
    await toy.drain()
    await toy.sign_up("delivered@example.com", referrer={"email": "named@example.com"})
    await toy.drain()
    toy.crm.next("contact", toy.before(errors.MappingBroken("gone", ["name"])))
    await toy.sign_up("parked@example.com")
    await toy.drain()
    await toy.sign_up("waits@example.com")
    found = await ledger.of_day(toy.services, "acme", None)
    numbers = (found.accepted, found.delivered, found.refused, found.held, found.parked, found.under_way)
    assert numbers == (5, 1, 1, 1, 1, 1)
    assert found.balanced
    assert (await ledger.of_day(toy.services, None, None)).accepted in (0, 5)  # another day in UTC around midnight
    assert (await ledger.of_day(toy.services, "acme", "2001-01-01")).accepted == 0
    await toy.write(lambda conn: conn.execute(tasks.delete().where(tasks.c.state == "available")))
    assert not (await ledger.of_day(toy.services, "acme", None)).balanced
    with pytest.raises(Refused):
        await ledger.of_day(toy.services, "acme", "yesterday")
    await toy.write(lambda conn: conn.execute(update(people).values(crm="linked")))
