"""Contact sync: what is asked for, how far it is, and the contacts that are read from a CRM."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway_schemas.base import HostId, Input, Output
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.records import Field, Record, RecordRef

SyncState = Literal["running", "watching", "paused", "needs_attention", "completed", "cancelled"]
"""``watching``: an ongoing sync that is up to date and waits for changes."""

SyncPhase = Literal["reading", "awaiting_links", "writing_back", "done"]
SyncContactState = Literal["imported", "skipped", "gone"]
SkipReason = Literal[
    "no_email", "invalid_email", "duplicate", "inactive", "merged", "do_not_mail", "deleted", "erased"
]  # fmt: skip
"""``duplicate``: another contact of the sync has the same e-mail address; ``erased``: the person was erased here."""

Key = Annotated[str, Meta(min_length=1, max_length=128)]


class ContactSelection(Output, frozen=True, kw_only=True):
    """All contacts, or those of one saved filter (the vendor's filter id).

    Attributes:
        filter: Null: all contacts.
    """

    filter: str | None = None


class ContactPage(Output, frozen=True, kw_only=True):
    """One page of contacts and the checkpoint to store with it; null in it means the end.

    Attributes:
        checkpoint: What the next call gets; null: this was the last page.
        contacts: As the vendor has them now. One that is deleted, inactive or merged may be among them, with its state.
        total: Contacts of the selection, where the vendor says it.
        at_most: ``total`` is an upper bound (the highest id), not a count.
        resume: With the last page: a checkpoint from which a later walk reads only what changed since this one began;
            null where only a whole walk shows changes. Overlaps a little: clocks differ, and times may be equal.
    """

    contacts: list[Record]
    checkpoint: str | None
    total: int | None = None
    at_most: bool = False
    resume: str | None = None


class SelectionInput(Input, frozen=True, kw_only=True):
    """Whom to sync: all contacts, or those of one saved filter (a value of the manifest's filter source)."""

    filter: Key | None = None


class SyncMapping(Input, frozen=True, kw_only=True):
    """One row of the mapping: a contact's field becomes a value of the referrer.

    Attributes:
        field: The vendor's field key.
        to: ``person.first_name``, ``person.last_name``, ``person.email``, ``person.phone``, or
            ``person.fields.<form field>``.
    """

    field: Key
    to: Key


class WriteBack(Input, frozen=True, kw_only=True):
    """One row of the write-back: a value of the referrer goes into a field of the contact.

    Attributes:
        source: ``person.link``, ``person.code``, ``person.referral_count`` or ``person.converted_referral_count``.
        field: The vendor's field key.
    """

    source: Key
    field: Key


Mapping = Annotated[list[SyncMapping], Meta(max_length=100)]
WriteBacks = Annotated[list[WriteBack], Meta(max_length=20)]


class SyncInput(Input, frozen=True, kw_only=True):
    """A contact sync to be started, or estimated.

    Attributes:
        mapping: First name and e-mail are required.
        write_back: Empty: nothing is written to the CRM. Else the referral link is required.
        use_suggested: Fill the rows that are not given with those that the manifest suggests and the CRM has.
        ongoing: Go on with new and changed contacts when all have been read.
        connection: Default: the connected CRM.
    """

    selection: SelectionInput = field(default_factory=SelectionInput)
    mapping: Mapping = []
    write_back: WriteBacks = []
    use_suggested: bool = False
    ongoing: bool = False
    connection: str | None = None


class SyncPatch(Input, frozen=True, kw_only=True):
    """What changes of a contact sync; what is left out stays.

    Attributes:
        paused: ``true`` stops it where it is, ``false`` lets it go on, also after something was mended.
        selection: A new selection, mapping or write-back is checked against the vendor and begins a new walk.
    """

    ongoing: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    selection: SelectionInput | UnsetType = UNSET
    mapping: Mapping | UnsetType = UNSET
    write_back: WriteBacks | UnsetType = UNSET


class SyncEstimate(Output, frozen=True, kw_only=True):
    """What a contact sync will take, said before it starts.

    Attributes:
        contacts: How many there are; null when the vendor does not say.
        at_most: ``contacts`` is an upper bound, not a count.
        read_units / write_units: Units of the vendor's daily budget; null when nothing is known or counted.
        units_a_day: What the sync may use of a day: the budget less the reserve of the signups.
        units_left: What it may use of them today.
        days: Until everything is written, by the budget alone.
        sentences: The same for people, the most important first.
    """

    contacts: int | None
    at_most: bool
    read_units: int | None
    write_units: int | None
    units_a_day: int | None
    units_left: int | None
    days: float | None
    sentences: list[str]


class SyncProgress(Output, frozen=True, kw_only=True):
    """How far a contact sync is. Contacts are counted, not reads: what is read twice counts once.

    Attributes:
        read: Contacts read in this walk.
        total: How many there are, where known; an upper bound with ``at_most``.
        imported: Contacts that are referrers of the campaign.
        skipped: By reason; ``GET …/contacts?state=skipped`` lists them.
        gone: Contacts that were deleted or left the selection; their referrers and links stay.
        to_write: Contacts whose newest values are not in the CRM yet.
        written: Writes that the CRM took.
        refused: Writes that it refused for good.
        links_outstanding: Referrers for whom the host has sent no link yet.
        per_second: Contacts a second, read or written, lately; null when nothing moves.
        seconds_left: Until this phase is done; null when it cannot be told.
        bound_by: What the time left comes from: ``rate`` (as fast as the vendor answers), ``daily_budget``, or
            ``host_links``.
    """

    read: int
    total: int | None
    at_most: bool
    imported: int
    skipped: dict[str, int]
    gone: int
    to_write: int
    written: int
    refused: int
    links_outstanding: int
    per_second: float | None
    seconds_left: float | None
    bound_by: Literal["rate", "daily_budget", "host_links"] | None


class Sync(Output, frozen=True, kw_only=True):
    """A contact sync.

    Attributes:
        state: ``needs_attention`` says in ``problems`` what to mend; ``PATCH {"paused": false}`` goes on then.
        phase: ``reading`` → ``awaiting_links`` or ``writing_back`` → ``done``.
        cause: Why it is paused or needs attention, a stable word: ``by_request``, ``disconnected``,
            ``mapping_broken``, ``page_failed``.
        message: What people should know now, in a sentence.
        no_write_back: Why this CRM takes no links back; null where it does.
        estimate: As it was before the start.
        next_walk_at: When an ongoing sync looks again by itself.
    """

    id: str
    account: HostId
    campaign: HostId
    connection: str
    integration: str
    state: SyncState
    phase: SyncPhase
    ongoing: bool
    selection: ContactSelection
    mapping: list[SyncMapping]
    write_back: list[WriteBack]
    progress: SyncProgress
    cause: str | None
    message: str | None
    problems: list[SetupProblem]
    no_write_back: str | None
    estimate: SyncEstimate | None
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    next_walk_at: datetime | None


class SyncContact(Output, frozen=True, kw_only=True):
    """One contact of a sync, and what became of it.

    Attributes:
        reason: Why it was skipped (``SkipReason``) or is gone (``deleted``, ``merged``, ``left_selection``).
        person: The referrer; null when it was skipped.
        written_at: When our values were last written to it.
    """

    record: RecordRef
    state: SyncContactState
    reason: str | None
    person: str | None
    to_write: bool
    written_at: datetime | None


class WriteBackFields(Output, frozen=True, kw_only=True):
    """The custom fields for the write-back: the rows to send with the start, and which fields were made now."""

    write_back: list[WriteBack]
    fields: list[Field]
    created: list[str]
