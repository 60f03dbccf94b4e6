"""Connections: an account's authorised link to one vendor tenant."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway_schemas.account import Key
from gateway_schemas.base import Input, Output

ConnectionState = Literal[
    "awaiting_authorisation", "pending_approval", "awaiting_credentials", "active", "needs_reauth", "disconnected"
]
Category = Literal["crm", "automation"]


class ConnectInput(Input, frozen=True, kw_only=True):
    """Which integration to connect, and where the browser goes afterwards."""

    integration: str
    return_url: str | None = None


class StepInput(Input, frozen=True, kw_only=True):
    """The values of one connect step, by the manifest's field keys."""

    values: dict[str, str]


class ReauthoriseInput(Input, frozen=True, kw_only=True):
    """Where the browser goes after a re-authorisation; left out: as when the connection was begun."""

    return_url: str | None = None


class ClaimInput(Input, frozen=True, kw_only=True):
    """Which marketplace install to claim: the one-time code of its page; null: that of this browser's cookie."""

    code: Annotated[str, Meta(max_length=40)] | None = None


class NextStep(Output, frozen=True, kw_only=True):
    """What has to happen next for this connection.

    Attributes:
        kind: ``redirect`` (send the person to ``url``), ``form`` (ask ``fields``, post to ``step``), ``wait`` (for
            the operator).
        instructions: Numbered instructions for the person who clicks.
        expected_by: ``wait``: when it should be done.
        contact: ``wait``: whom to turn to when it takes longer, where the operator says so.
    """

    kind: Literal["redirect", "form", "wait"]
    step: str
    url: str | None = None
    expires_at: datetime | None = None
    title: str | None = None
    instructions: list[str] = []
    fields: list[dict[str, Any]] = []
    expected_by: datetime | None = None
    contact: str | None = None


class Limitation(Output, frozen=True, kw_only=True):
    """Something that this connection cannot do, and why, in a sentence for people.

    Attributes:
        code: A stable word for programs.
        message: The sentence.
    """

    code: str
    message: str


class VendorAccount(Output, frozen=True, kw_only=True):
    """Whom a connection is connected as.

    Attributes:
        identity: The vendor tenant's id; pinned at first connect.
        name: The tenant's name as people know it.
        user: Id of the vendor user who authorised, where there is one.
        granted: Scopes that were granted.
        limitations: What is missing because of scopes or plan.
        currency: Default currency of the tenant, where the vendor tells.
        properties: Other things the plugin wants back on each call (an API base URL); no secrets.
    """

    identity: str
    name: str | None = None
    user: str | None = None
    granted: list[str] = []
    limitations: list[Limitation] = []
    currency: str | None = None
    properties: dict[str, str] = {}


class ContactIndex(Output, frozen=True, kw_only=True):
    """How far the contacts of a vendor without a search by e-mail have been read.

    Attributes:
        complete: Signups are checked against it. Until then they wait, unless the vendor's own search answers.
        contacts_read: Since the walk through all of them began.
        waits_until: When signups go out without the check; null once it is complete.
    """

    complete: bool
    contacts_read: int
    waits_until: datetime | None = None


class Health(Output, frozen=True, kw_only=True):
    """How a connection is doing.

    Attributes:
        contact_index: Null where the vendor needs none.
    """

    last_good_call_at: datetime | None = None
    last_webhook_at: datetime | None = None
    last_error: str | None = None
    webhooks: Literal["healthy", "missing", "unavailable"] = "unavailable"
    budget_left: int | None = None
    held: str | None = None
    waiting_tasks: int = 0
    parked_tasks: int = 0
    contact_index: ContactIndex | None = None


class Connection(Output, frozen=True, kw_only=True):
    """A connection as the API shows it.

    Attributes:
        key: The account key that connecting made, with its secret: in the answer that made the connection alone.
    """

    id: str
    account: str
    integration: str
    category: Category
    state: ConnectionState
    identity: str | None
    name: str | None
    granted: list[str]
    limitations: list[Limitation]
    created_at: datetime
    activated_at: datetime | None = None
    disconnected_at: datetime | None = None
    next_step: NextStep | None = None
    health: Health | None = None
    reason: str | None = None
    key: Key | None = None


class DisconnectReceipt(Output, frozen=True, kw_only=True):
    """What a disconnect removed, and what people must do by hand.

    Attributes:
        removed: What the gateway removed at the vendor.
        by_hand: What the administrator of the CRM must still do.
        kept: What stays on both sides.
    """

    connection: str
    disconnected_at: datetime
    removed: list[str]
    by_hand: list[str]
    kept: list[str]
