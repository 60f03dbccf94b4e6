"""Records of a CRM in our terms: kinds, fields, options, references and what was seen of them."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway_schemas.base import FieldValue, Input, Output

FieldType = Literal[
    "text", "long_text", "number", "money", "date", "datetime", "time", "boolean",
    "option", "options", "email", "phone", "url", "user", "address", "other",
]  # fmt: skip
"""``other`` is a field that we can neither write nor read; it is shown and cannot be mapped."""


class Option(Output, frozen=True, kw_only=True):
    """One choice of a picker or of an option field.

    Attributes:
        label: What people see.
        value: The vendor's id as a string.
        parent: Value of the option that this one belongs to (a stage's pipeline).
        rank: Place in an order that records pass through; null when reaching it says nothing about others.
    """

    value: str
    label: str
    parent: str | None = None
    rank: int | None = None


class Field(Output, frozen=True, kw_only=True):
    """A field of a record kind at the vendor.

    Attributes:
        label: What people see; custom fields are found by it.
        type: Decides which values fit, and in which shape they come (``gateway.sdk.values``).
        required: The vendor refuses a record without it.
        options: Of ``option``, ``options`` and ``user``.
        key: The vendor's key, opaque to the host.
        custom: Made by the account, not built in.
        writable: A push may set it.
        max_length: Characters that the vendor takes, where known.
    """

    key: str
    label: str
    type: FieldType
    required: bool = False
    custom: bool = False
    writable: bool = True
    options: list[Option] = []
    max_length: int | None = None


class NewField(Output, frozen=True, kw_only=True):
    """A custom field to be made at the vendor.

    Attributes:
        options: Labels, of an option field.
    """

    label: str
    type: FieldType = "text"
    options: list[str] = []


class FieldInput(Input, frozen=True, kw_only=True):
    """A custom field that a person asks for; ``options`` are the labels of an option field."""

    label: Annotated[str, Meta(min_length=1, max_length=100)]
    type: FieldType = "text"
    options: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=200)] = []


class FieldList(Output, frozen=True, kw_only=True):
    """The fields of a record kind, as last read.

    Attributes:
        stale: The vendor could not be read now; this is what it said at ``read_at``.
    """

    data: list[Field]
    read_at: datetime
    stale: bool = False


class OptionList(Output, frozen=True, kw_only=True):
    """The options of a source, as last read.

    Attributes:
        stale: The vendor could not be read now; this is what it said at ``read_at``.
    """

    data: list[Option]
    read_at: datetime
    stale: bool = False


class RecordRef(Output, frozen=True, kw_only=True):
    """Which record: its kind (from the manifest) and the vendor's id as a string.

    Attributes:
        kind: Key of a record kind.
        id: Also where the vendor's is a number.
    """

    kind: str
    id: str


class Fact(Output, frozen=True, kw_only=True):
    """Something that a record is or has been, in the words of the manifest's triggers.

    Attributes:
        name: Milestone, for example ``won``, ``converted`` or ``stage``.
        value: For milestones with a value (a stage's id); null otherwise.
        at: When, by the vendor's clock, where known.
    """

    name: str
    value: str | None = None
    at: datetime | None = None


class Record(Output, frozen=True, kw_only=True):
    """A record as read from the vendor: authoritative at ``updated_at``.

    Attributes:
        ref: Which record it is.
        updated_at: By the vendor's clock; an older reading of a record never replaces a newer one.
        currency: Of amounts that name none themselves.
        state: The vendor's state in the manifest's words: ``open``, ``won``, ``lost``, ``deleted``, ``archived`` …
        fields: Values of built-in and custom fields; money with its currency.
        facts: What it is, and has provably been, now.
        origin: The record it was made from by the vendor (a deal's lead, a job's booking).
        contact: The contact it belongs to.
        created_at: When it was made at the vendor, for *added after the signup*.
        merged_into: Id of the surviving record when this one was merged away.
        value_ready: The sale value of this record is final (manifest ``value_ready``).
        note: Why it is in its state, in a sentence for people: the reason of a dismissal, for example.
        url: Where a person can look at it.
    """

    ref: RecordRef
    state: str
    fields: dict[str, FieldValue] = {}
    facts: list[Fact] = []
    origin: RecordRef | None = None
    contact: RecordRef | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    currency: str | None = None
    merged_into: str | None = None
    value_ready: bool = True
    note: str | None = None
    url: str | None = None


class RecordChange(Output, frozen=True, kw_only=True):
    """Something that changed at the vendor: a hint; the state of the record decides.

    Attributes:
        occurred_at: By the vendor's clock, where the message says it.
        ref: The record that changed.
        facts: What this message itself proves was seen, even if it has been passed since.
        contact: The contact it belongs to, where the message says so.
        origin: The record it was made from, where the message says so.
        record: The whole record, when the source is as good as reading it (a poll); null for webhooks.
        merged_into: Id of the survivor, when the record was merged away.
        deleted: The record is gone (a merge says ``merged_into`` instead).
        message_id: The vendor's id of this message, for de-duplication.
        own: The change looks like the echo of our own write.
    """

    ref: RecordRef
    facts: list[Fact] = []
    contact: RecordRef | None = None
    origin: RecordRef | None = None
    record: Record | None = None
    merged_into: str | None = None
    deleted: bool = False
    occurred_at: datetime | None = None
    message_id: str | None = None
    own: bool = False


class ContactSeen(Output, frozen=True, kw_only=True):
    """A contact noticed in a feed, for the contact index: no names, hashed at once.

    Attributes:
        id: The contact's id, without its kind: that is ``Manifest.contact_kind``.
        emails: All e-mails of the contact as it is now; they replace those known. Null: this feed does not tell, and
            what is known stays.
        active: An inactive contact is no *existing contact*.
        merged_into: Id of the contact that it was merged into: that one has its e-mails from then.
    """

    id: str
    emails: list[str] | None
    active: bool = True
    merged_into: str | None = None
