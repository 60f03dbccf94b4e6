"""What was seen of records of referrals: facts (a set), newest states, and which referral a record qualified."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, case, delete, func, select

from gateway.storage.engine import AsyncConnection, among, insert
from gateway.storage.tables import claims, facts, record_states
from gateway_schemas.records import Record, RecordRef


class SeenFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of a record as it was seen for one person; ``value`` is empty where the fact has none."""

    person_id: str
    record_kind: str
    record_id: str
    fact: str
    value: str = ""
    at: datetime | None
    seen_at: datetime
    source: str

    @property
    def ref(self) -> RecordRef:
        """The record."""
        return RecordRef(kind=self.record_kind, id=self.record_id)


class RecordState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state of a record.

    Attributes:
        state: In the manifest's words; ``gone`` when the vendor left it out.
        record: As it was read; null when it was never there.
        read_at: When the reading began, so that of two readings the later one wins.
        gone_since: When it was first found to be gone; null while it is there.
    """

    connection_id: str
    record_kind: str
    record_id: str
    state: str
    record: Record | None
    vendor_updated_at: datetime | None
    read_at: datetime
    gone_since: datetime | None = None

    @property
    def ref(self) -> RecordRef:
        """The record."""
        return RecordRef(kind=self.record_kind, id=self.record_id)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One record qualifies one referral of a campaign."""

    account_id: str
    campaign_id: str
    connection_id: str
    record_kind: str
    record_id: str
    person_id: str

    @property
    def ref(self) -> RecordRef:
        """The record."""
        return RecordRef(kind=self.record_kind, id=self.record_id)


_FACT = [facts.c[name] for name in SeenFact.__struct_fields__]
_STATE = [record_states.c[name] for name in RecordState.__struct_fields__]
_CLAIM = [claims.c[name] for name in Claim.__struct_fields__]
_STATE_KEY = [record_states.c.connection_id, record_states.c.record_kind, record_states.c.record_id]


# --- facts -----------------------------------------------------------------------------------------


async def add(conn: AsyncConnection, seen: Sequence[SeenFact]) -> None:
    """Add facts to the set; one that is there keeps its first sighting, and the earliest time that the vendor gave."""
    if not seen:
        return
    statement = insert(conn, facts)
    new = statement.excluded
    earliest = case(
        (facts.c.at.is_(None), new.at), (new.at.is_(None), facts.c.at), (new.at < facts.c.at, new.at), else_=facts.c.at
    )
    key = [facts.c.person_id, facts.c.record_kind, facts.c.record_id, facts.c.fact, facts.c.value]
    rows = {(one.person_id, one.record_kind, one.record_id, one.fact, one.value, one.at): one for one in seen}
    await conn.execute(
        statement.on_conflict_do_update(index_elements=key, set_={"at": earliest}),
        [msgspec.structs.asdict(one) for _, one in sorted(rows.items(), key=lambda row: row[0][:5])],
    )


async def of_people(conn: AsyncConnection, person_ids: Iterable[str]) -> dict[str, list[SeenFact]]:
    """Return all facts by person."""
    found: dict[str, list[SeenFact]] = {}
    for row in await conn.execute(select(*_FACT).where(among(conn, facts.c.person_id, person_ids))):
        fact = SeenFact(**row._asdict())
        found.setdefault(fact.person_id, []).append(fact)
    return found


# --- newest states ---------------------------------------------------------------------------------


async def note_states(conn: AsyncConnection, states: Sequence[RecordState]) -> None:
    """Keep the newest state of each record: by the vendor's time, then by when we began to read.

    A state without a vendor time (the record is gone, or was never changed) is placed by when we read it.
    """
    if not states:
        return
    statement = insert(conn, record_states)
    new, old = statement.excluded, record_states.c
    is_newer = case(
        (new.vendor_updated_at.is_(None) | old.vendor_updated_at.is_(None), new.read_at >= old.read_at),
        (new.vendor_updated_at == old.vendor_updated_at, new.read_at >= old.read_at),
        else_=new.vendor_updated_at > old.vendor_updated_at,
    )
    since = case((new.gone_since.is_(None), None), else_=func.coalesce(old.gone_since, new.gone_since))
    rows = {
        (one.record_kind, one.record_id): one for one in sorted(states, key=_age)
    }  # one row a statement: the newest
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=_STATE_KEY,
            set_={
                "state": new.state,
                "record": func.coalesce(new.record, old.record),  # what is gone is still explained by what it was
                "vendor_updated_at": func.coalesce(new.vendor_updated_at, old.vendor_updated_at),
                "read_at": new.read_at,
                "gone_since": since,
            },
            where=is_newer,
        ),
        [msgspec.structs.asdict(rows[key]) for key in sorted(rows)],
    )


def _age(state: RecordState) -> tuple[datetime, datetime]:
    return (state.vendor_updated_at or state.read_at, state.read_at)


async def states_of(
    conn: AsyncConnection, connection_id: str, refs: Iterable[RecordRef]
) -> dict[RecordRef, RecordState]:
    """Return the newest states of records of a connection."""
    wanted = set(refs)
    statement = select(*_STATE).where(
        record_states.c.connection_id == connection_id,
        record_states.c.record_kind.in_(sorted({ref.kind for ref in wanted})),
        among(conn, record_states.c.record_id, sorted({ref.id for ref in wanted})),
    )
    found = [_state(row) for row in await conn.execute(statement)] if wanted else []
    return {state.ref: state for state in found if state.ref in wanted}


def _state(row: Row[Any]) -> RecordState:
    values = dict(zip(RecordState.__struct_fields__, row, strict=True))
    record = values.pop("record")
    return RecordState(record=None if record is None else msgspec.convert(record, Record), **values)


# --- claims ----------------------------------------------------------------------------------------


async def claim(conn: AsyncConnection, wanted: Sequence[Claim], now: datetime) -> dict[tuple[str, str, RecordRef], str]:
    """Claim records that nobody has claimed; return who has each: (campaign, connection, record) to person."""
    if not wanted:
        return {}
    rows = [{**msgspec.structs.asdict(one), "created_at": now} for one in wanted]
    await conn.execute(insert(conn, claims).on_conflict_do_nothing(), rows)
    account_id = wanted[0].account_id
    return await claimed(conn, account_id, {one.ref for one in wanted})


async def claimed(
    conn: AsyncConnection, account_id: str, refs: Iterable[RecordRef]
) -> dict[tuple[str, str, RecordRef], str]:
    """Return which person of each campaign has claimed a record: (campaign, connection, record) to person."""
    wanted = set(refs)
    if not wanted:
        return {}
    statement = select(*_CLAIM).where(
        claims.c.account_id == account_id,
        claims.c.record_kind.in_(sorted({ref.kind for ref in wanted})),
        among(conn, claims.c.record_id, sorted({ref.id for ref in wanted})),
    )
    found = [Claim(**row._asdict()) for row in await conn.execute(statement)]
    return {(one.campaign_id, one.connection_id, one.ref): one.person_id for one in found if one.ref in wanted}


# --- merged records --------------------------------------------------------------------------------


async def follow_merge(
    conn: AsyncConnection, connection_id: str, kind: str, loser: str, survivor: str, person_ids: Iterable[str]
) -> None:
    """Carry facts and claims of a record that was merged away over to the survivor.

    Args:
        conn: The writer's connection.
        connection_id: Where both records are.
        kind: Their kind.
        loser: Id of the record that was merged away.
        survivor: Id of the record that stays.
        person_ids: People who were linked to the loser.
    """
    lost = [facts.c.record_kind == kind, facts.c.record_id == loser, among(conn, facts.c.person_id, person_ids)]
    moved = [SeenFact(**row._asdict()) for row in await conn.execute(select(*_FACT).where(*lost))]
    await add(conn, [msgspec.structs.replace(fact, record_id=survivor) for fact in moved])
    await conn.execute(delete(facts).where(*lost))
    old = [claims.c.connection_id == connection_id, claims.c.record_kind == kind, claims.c.record_id == loser]
    for row in await conn.execute(select(claims).where(*old)):
        await conn.execute(
            insert(conn, claims).values({**row._asdict(), "record_id": survivor}).on_conflict_do_nothing()
        )
    await conn.execute(delete(claims).where(*old))
    state = [
        record_states.c.connection_id == connection_id,
        record_states.c.record_kind == kind,
        record_states.c.record_id == loser,
    ]
    await conn.execute(delete(record_states).where(*state))  # the survivor is read anew
