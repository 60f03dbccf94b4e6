"""Write down what a look at the CRM found: which records belong to whom, facts, newest states, and what is gone.

All in the caller's transaction, set-wise, and the same however often it is repeated; then everybody concerned is
judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.flows.referrals import qualification
from gateway.flows.referrals.evidence import Found
from gateway.flows.referrals.merges import follow_merges
from gateway.flows.referrals.scene import Scene, all_refs, found_again, relations, set_scene
from gateway.flows.referrals.verdict import GONE
from gateway.flows.services import Services
from gateway.storage import connections, facts, links, people, referrals, timeline
from gateway.storage.connections import ConnectionRow
from gateway.storage.engine import AsyncConnection
from gateway.storage.facts import RecordState, SeenFact
from gateway.storage.links import NewLink
from gateway.storage.tasks import NewTask, insert_tasks
from gateway.storage.timeline import NewEntry
from gateway_schemas.records import Fact, RecordRef

CONFIRM_SECONDS = 60.0
"""A record must be missing for so long before it is believed to be gone: a conversion takes a moment."""

SOURCES = {"webhook": "a webhook", "feed": "a feed", "sweep": "a sweep", "push": "the look after the push"}


def look_at(
    person_ids: Sequence[str], row: ConnectionRow, *, source: str = "push", due_at: datetime | None = None
) -> NewTask:
    """Return the task that looks at these people's records once: after a push, and to confirm something.

    Bulk work: a list of signups makes as many, and nobody waits for them as for what a webhook told.
    """
    return NewTask(
        kind="sweep_people",
        args={"connection": row.id, "people": list(person_ids), "source": source},
        lane=connections.lane(row),
        account_id=row.account_id,
        priority=3,
        unique_key=f"look:{source}:{person_ids[0]}" if len(person_ids) == 1 else None,
        due_at=due_at,
    )


async def record(
    conn: AsyncConnection,
    services: Services,
    row: ConnectionRow,
    found: Found,
    now: datetime,
    *,
    swept: Sequence[str] = (),
) -> set[str]:
    """Store what was found and judge everybody concerned.

    Args:
        conn: The writer's connection.
        services: For the manifests.
        row: The connection that was looked through.
        found: What was found.
        now: The time.
        swept: People whose records were all looked at.

    Returns:
        The people who were judged.
    """
    integration = services.integrations.get(row.integration)
    if integration is None:
        return set()
    concerned = set(swept)
    merged: dict[str, dict[str, str]] = {}
    for kind, loser, survivor in sorted(found.merged):
        merged.setdefault(kind, {})[loser] = survivor
    for kind, survivors in merged.items():
        concerned |= await follow_merges(conn, row.account_id, row.id, kind, survivors, now)
    scene = await set_scene(conn, row, integration.manifest, found, now)
    new_links = [link for record in found.records.values() for link in relations(scene, record)]
    new_links += found_again(scene)
    await links.add(conn, new_links, now)
    back = sorted({link.person_id for link in new_links if scene.people[link.person_id].crm == "gone"})
    await people.set_crm(conn, back, "linked", now)
    await _add_facts(conn, scene, new_links)
    await _note_states(conn, scene, new_links)
    concerned |= {link.person_id for link in new_links}
    concerned |= {link.person_id for ref in all_refs(found) for link in scene.referred(ref)}
    await _note_gone(conn, scene, {link.person_id for link in new_links if link.how == "converted"})
    await referrals.mark_swept(conn, swept, found.read_at)
    await qualification.apply(conn, services, concerned, now)
    return concerned


# --- what was seen of it ---------------------------------------------------------------------------------


async def _add_facts(conn: AsyncConnection, scene: Scene, new_links: Sequence[NewLink]) -> None:
    whose: dict[RecordRef, set[str]] = {}
    for ref, some in scene.links.items():
        whose.setdefault(ref, set()).update(
            link.person_id for link in some if scene.people[link.person_id].role == "referred"
        )
    for link in new_links:
        if scene.people[link.person_id].role == "referred":
            whose.setdefault(RecordRef(kind=link.record_kind, id=link.record_id), set()).add(link.person_id)
    survivors = {
        RecordRef(kind=kind, id=loser): RecordRef(kind=kind, id=survivor)
        for kind, loser, survivor in scene.found.merged
    }
    stated = [(one.ref, fact) for one in scene.found.records.values() for fact in one.facts]
    stated += [(survivors.get(one.ref, one.ref), fact) for one in scene.found.changes for fact in one.facts]
    seen = [_seen(scene, person, ref, fact) for ref, fact in stated for person in sorted(whose.get(ref, ()))]
    known = await facts.of_people(conn, sorted({fact.person_id for fact in seen}))
    had = {(fact.person_id, fact.ref, fact.fact, fact.value) for some in known.values() for fact in some}
    await facts.add(conn, seen)
    new = {key: fact for fact in seen if (key := (fact.person_id, fact.ref, fact.fact, fact.value)) not in had}
    entries = [
        NewEntry(
            fact.person_id,
            scene.row.account_id,
            "record.seen",
            _words(scene, fact),
            {"record": fact.ref, "fact": fact.fact, "value": fact.value},
        )
        for fact in new.values()
    ]
    linked = [
        NewEntry(
            link.person_id,
            scene.row.account_id,
            "record.linked",
            f"{link.record_kind.capitalize()} {link.record_id} "
            + ("was made from this signup's record." if link.how == "converted" else "was added to the contact."),
            {"record": {"kind": link.record_kind, "id": link.record_id}},
        )
        for link in new_links
        if link.how in ("converted", "contact")
    ]
    await timeline.add(conn, [*linked, *entries], scene.now)


def _seen(scene: Scene, person_id: str, ref: RecordRef, fact: Fact) -> SeenFact:
    return SeenFact(
        person_id=person_id,
        record_kind=ref.kind,
        record_id=ref.id,
        fact=fact.name,
        value=(fact.value or "")[:128],
        at=fact.at,
        seen_at=scene.found.read_at,
        source=scene.found.source,
    )


def _words(scene: Scene, fact: SeenFact) -> str:
    setup = scene.setups.get(scene.people[fact.person_id].campaign_id)
    labels: Mapping[str, str] = setup.resolved.labels if setup is not None else {}
    value = f" {labels.get(f'{fact.fact}:{fact.value}', fact.value)}" if fact.value else ""
    source = SOURCES.get(fact.source, fact.source)
    return f"{fact.record_kind.capitalize()} {fact.record_id}: {fact.fact}{value} (seen by {source})."


async def _note_states(conn: AsyncConnection, scene: Scene, new_links: Iterable[NewLink]) -> None:
    """Keep the newest state of our records, with the fields that a sale value is read from and no others."""
    ours = {*scene.links} | {RecordRef(kind=one.record_kind, id=one.record_id) for one in new_links}
    valued = {one.body.sale_value.field for one in scene.setups.values() if one.body.sale_value is not None}
    states = [
        RecordState(
            connection_id=scene.row.id,
            record_kind=one.ref.kind,
            record_id=one.ref.id,
            state=one.state,
            record=msgspec.structs.replace(
                one, fields={key: value for key, value in one.fields.items() if key in valued}
            ),
            vendor_updated_at=one.updated_at,
            read_at=scene.found.read_at,
        )
        for one in scene.found.records.values()
        if one.ref in ours
    ]
    states += [
        RecordState(
            connection_id=scene.row.id,
            record_kind=ref.kind,
            record_id=ref.id,
            state=GONE,
            record=None,
            vendor_updated_at=None,
            read_at=scene.found.read_at,
            gone_since=scene.found.read_at,
        )
        for ref in scene.found.missing
        if ref in ours
    ]
    await facts.note_states(conn, states)


async def _note_gone(conn: AsyncConnection, scene: Scene, just_converted: set[str]) -> None:
    """Believe that a record is gone once it was missing for a while; one that was converted is not gone."""
    confirm = timedelta(seconds=max(CONFIRM_SECONDS, scene.manifest.settle_seconds))
    gone: set[RecordRef] = set()
    wait: set[str] = set()
    for ref in scene.found.missing:
        standing = [link for link in scene.links.get(ref, []) if link.gone_at is None]
        if not standing:
            continue
        before = scene.states.get(ref)
        for link in standing:
            converted = link.person_id in just_converted or any(
                one.how == "converted" for one in scene.mine[link.person_id]
            )
            if converted and link.how != "converted" and ref.kind != scene.manifest.contact_kind:
                continue
            if (
                before is not None
                and before.gone_since is not None
                and scene.found.read_at - before.gone_since >= confirm
            ):
                gone.add(ref)
            else:
                wait.add(link.person_id)
    again = [look_at([person], scene.row, source="sweep", due_at=scene.now + confirm) for person in sorted(wait)]
    await insert_tasks(conn, again, scene.now)
    if not gone:
        return
    await links.mark_gone(conn, scene.row.id, gone, scene.now)
    losing = {link.person_id for ref in gone for link in scene.links[ref]}
    left = {
        person for person in losing if any(link.gone_at is None and link.ref not in gone for link in scene.mine[person])
    }
    await people.set_crm(conn, sorted(losing - left), "gone", scene.now, cause="record_gone")
    entries = [
        NewEntry(
            link.person_id,
            scene.row.account_id,
            "record.gone",
            f"{ref.kind.capitalize()} {ref.id} is not in the CRM any more.",
            {"record": ref},
        )
        for ref in sorted(gone, key=lambda one: (one.kind, one.id))
        for link in scene.links[ref]
        if link.gone_at is None
    ]
    await timeline.add(conn, entries, scene.now)
