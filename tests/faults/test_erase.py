"""After an erasure nothing in the database says who it was."""

from sqlalchemy import insert, select, update

from gateway.flows.people import status_updates
from gateway.flows.people.erase import erase
from gateway.storage.tables import (
    attempts,
    connections,
    events,
    idempotency_keys,
    inbound,
    metadata,
    people,
    record_states,
    rewards,
    tasks,
    timeline,
)
from gateway_schemas.person import PersonPatch

NEEDLES = ["wilhelmina", "zwartkruis", "5551234567", "crm-user-77", "secret size answer"]


async def dump(toy) -> str:
    parts = []
    async with toy.database.read() as conn:
        for table in metadata.sorted_tables:
            parts += [f"{table.name}: {dict(row._mapping)!r}" for row in await conn.execute(select(table))]
    return "\n".join(parts)


async def test_nothing_is_left_of_a_person_and_all_else_stays(toy):
    await toy.connect(campaigns_=("spring", "autumn"))
    person = {
        "first_name": "Wilhelmina",
        "last_name": "Zwartkruis",
        "phone": "+1 (555) 5551234567",
        "external_id": "crm-user-77",
    }
    email = "wilhelmina.zwartkruis@example.com"
    first = await toy.sign_up(email, person={**person, "fields": {"size": "secret size answer"}})
    second = await toy.sign_up(email, campaign="autumn", role="referrer", person=person)
    await toy.drain()
    friend = await toy.sign_up("friend@example.com", campaign="autumn", referrer={"email": email})
    from gateway.sdk import errors

    toy.crm.next("contact", toy.before(errors.Rejected(f"{email} is refused")))
    await toy.drain()
    await status_updates.update(toy.services, "acme", first, PersonPatch(last_name="Other"))
    now = toy.clock.now()

    async def litter(conn):
        """What other flows may have stored."""
        await conn.execute(
            insert(inbound).values(
                id="inb_1",
                integration="toy",
                connection_id="con_1",
                dedupe_key="k",
                received_at=now,
                body_hash="h",
                request={"body": f'{{"email":"{email.upper()}"}}'},
            )
        )
        await conn.execute(
            insert(idempotency_keys).values(
                scope="acme/spring", key="k", body_hash="h", answer=[{"person": first}], created_at=now
            )
        )
        await conn.execute(
            insert(record_states).values(
                connection_id="con_1",
                record_kind="contact",
                record_id="1",
                state="open",
                record={"fields": {"name": "Wilhelmina Zwartkruis"}},
                read_at=now,
            )
        )
        task = (await conn.execute(select(tasks.c.id).where(tasks.c.unique_key == f"push:{friend}"))).scalars().first()
        await conn.execute(
            update(attempts).where(attempts.c.task_id == task).values(excerpt='POST /leads {"by": "Wilhelmina"} 200')
        )
        await conn.execute(update(connections).values(last_error=f"cannot write {email}"))
        await conn.execute(
            update(timeline).where(timeline.c.person_id == friend).values(text="Brought by Wilhelmina Zwartkruis")
        )
        await conn.execute(
            insert(rewards).values(
                id="rew_1",
                account_id="acme",
                campaign_id="autumn",
                referrer_id=second,
                referred_id=friend,
                rule_key="r",
                rule={},
                cause="qualification",
                state="due",
                reason="for Wilhelmina",
                created_at=now,
                updated_at=now,
            )
        )

    await toy.write(litter)
    before = (await dump(toy)).lower()
    assert all(needle in before for needle in NEEDLES)
    hashes = [(await toy.person(one)).email_hash for one in (first, second)]

    assert await erase(toy.services, "acme", email.upper()) == 2

    after = (await dump(toy)).lower()
    for needle in [*NEEDLES, email, *hashes]:
        found = [line for line in after.splitlines() if needle in line]
        assert not found, (needle, found)
    kept = await toy.person(second)
    assert (kept.referrals, kept.signed_up, kept.role) == (1, True, "referrer")
    assert (await toy.person(first)).crm == "linked"
    assert (await toy.person(friend)).email == "friend@example.com"
    assert (await toy.person(friend)).referrer_id == second
    assert await toy.links(first)
    async with toy.database.read() as conn:
        assert (await conn.execute(select(rewards.c.state))).scalars().all() == ["due"]
        assert (
            await conn.execute(select(events.c.type).where(events.c.person_id == first).order_by(events.c.sequence))
        ).scalars().all()[0] == "signup.accepted"
    assert "Zwartkruis" in str(toy.crm.records) or "Wilhelmina" in str(toy.crm.records)  # the CRM is the account's
    assert await erase(toy.services, "acme", email) == 0


async def test_a_push_under_way_stops_when_its_person_is_erased(toy):
    await toy.connect()
    person = await toy.sign_up("wilhelmina@example.com", person={"first_name": "Wilhelmina"})

    async def erased_first(make):
        await erase(toy.services, "acme", "wilhelmina@example.com")
        return make()

    toy.crm.next("contact", erased_first)
    await toy.drain()
    await toy.later(hours=1)
    assert "wilhelmina" not in (await dump(toy)).lower()
    async with toy.database.read() as conn:
        assert (await conn.execute(select(people.c.crm).where(people.c.id == person))).scalar_one() in (
            "refused",
            "linked",
        )


async def test_the_same_address_of_another_account_stays(toy):
    from sqlalchemy import insert as add

    from gateway.flows.signups import signup
    from gateway.storage.tables import accounts, campaigns

    now = toy.clock.now()

    async def write(conn):
        await conn.execute(
            add(accounts).values(id="other", name="Other", timezone="UTC", currency="EUR", locale="en", created_at=now)
        )
        await conn.execute(
            add(campaigns).values(
                account_id="other",
                id="spring",
                name="Spring",
                state="live",
                rewards=[],
                fields=[],
                created_at=now,
                updated_at=now,
            )
        )

    await toy.write(write)
    await toy.sign_up("wilhelmina@example.com")
    await signup.submit(
        toy.services,
        "other",
        "spring",
        [{"role": "referred", "person": {"email": "wilhelmina@example.com", "first_name": "W"}}],
    )
    assert await erase(toy.services, "acme", "wilhelmina@example.com") == 1
    left = [line for line in (await dump(toy)).splitlines() if "wilhelmina" in line]
    assert left
    assert all("'other'" in line for line in left)
