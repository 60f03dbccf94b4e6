"""What a run left behind, as those outside of the gateway saw it: plain data for the checker.

Nothing here was asked of the gateway's own memory: calls are noted by the clients that made them, records are read from
the CRM, events from the receiver that took them. Only where a signup stands now is asked over the public API.
"""

import msgspec


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One signup as a client sent it, once or again under the same key.

    Attributes:
        key: The Idempotency-Key; sent again until an answer came.
        status: Of the answer; ``None`` when the connection broke or nothing came.
        person: Whom a 202 named.
        outcome: What a 202 said: ``accepted``, ``held``, ``already_signed_up``.
    """

    key: str
    account: str
    campaign: str
    role: str
    email: str
    status: int | None = None
    person: str | None = None
    outcome: str | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person stands at the end, as ``GET A/people`` says."""

    person: str
    account: str
    campaign: str
    role: str
    email: str
    crm: str
    cause: str | None = None
    state: str | None = None
    signed_up: bool = True


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record that stands in the CRM.

    Attributes:
        kind: ``contact`` belongs to an e-mail; every other kind to one signup.
        belongs: The e-mail of a contact; else the id of the person whose signup it is.
    """

    account: str
    kind: str
    id: str
    belongs: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the pull feed."""

    id: str
    type: str
    person: str | None = None
    sequence: int = 0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        calls: In the order in which clients sent them.
        people: Everybody whom the gateway knows at the end.
        records: What the CRM holds at the end, that was not there before.
        expected: Which record kinds a signup of each role makes.
        feed: The whole pull feed.
        received: How often the receiver took each event, by its id.
        unbalanced: What the ledger says that does not add up; empty when it does.
        bought: People whose customer the CRM saw buying; they, and nobody else, must have qualified.
    """

    calls: list[Call]
    people: list[Standing]
    records: list[Record]
    expected: dict[str, list[str]]
    feed: list[Event] = []
    received: dict[str, int] = {}
    unbalanced: str = ""
    bought: list[str] | None = None
