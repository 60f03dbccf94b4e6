"""Events to the host and other endpoints: signed webhooks (Standard Webhooks) and a pull feed."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway_schemas.base import HostId, Input, Output, Position

EventType = Literal[
    "signup.accepted", "signup.delivered", "signup.refused", "signup.held", "signup.parked",
    "referral.qualified", "referral.disqualified",
    "sale.recorded", "sale.updated",
    "reward.due", "reward.issued", "reward.cancelled",
    "contacts.imported", "referrer.stats_updated",
    "sync.started", "sync.completed", "sync.failed",
    "connection.pending_approval", "connection.awaiting_credentials", "connection.activated",
    "connection.needs_reauth", "connection.disconnected",
    "setup.needs_attention", "endpoint.disabled", "endpoint.test",
]  # fmt: skip


class Event(Output, frozen=True, kw_only=True):
    """A fact that we tell: at least once, in any order.

    Attributes:
        sequence: Grows per person (or per account for events without one); the highest is the newest.
        data: Depends on ``type``; see ``schemas/examples``.
    """

    id: str
    type: EventType
    version: int
    occurred_at: datetime
    account: HostId
    sequence: int
    data: dict[str, Any]


class FeedEvent(Event, frozen=True, kw_only=True):
    """An event with its place in the pull feed."""

    position: int


class EventFeed(Output, frozen=True, kw_only=True):
    """Events after a position; go on from ``next`` and nothing is missed."""

    data: list[FeedEvent]
    next: int


class EndpointInput(Input, frozen=True, kw_only=True):
    """A URL that receives events.

    Attributes:
        event_types: Empty: all of them.
        account: Only events of this account; null (host key only): of all accounts.
    """

    url: Annotated[str, Meta(max_length=2000)]
    event_types: list[EventType] = []
    account: HostId | None = None
    description: Annotated[str, Meta(max_length=200)] = ""


class EndpointPatch(Input, frozen=True, kw_only=True):
    """What changes of an endpoint."""

    url: Annotated[str, Meta(max_length=2000)] | None = None
    event_types: list[EventType] | None = None
    description: Annotated[str, Meta(max_length=200)] | None = None
    disabled: bool | None = None


class EnableInput(Input, frozen=True, kw_only=True):
    """Enable an endpoint again; ``replay_from`` sends what it missed after that position of the feed."""

    replay_from: Position | None = None


class RotateInput(Input, frozen=True, kw_only=True):
    """Rotate a secret: the old one signs too for ``grace_hours``; ``force`` ends a rotation under way."""

    grace_hours: Annotated[int, Meta(ge=0, le=168)] = 24
    force: bool = False


class Endpoint(Output, frozen=True, kw_only=True):
    """An endpoint; ``secret`` is shown when it is made or rotated.

    Attributes:
        account: Only events of this account; null: of all accounts.
        disabled_reason: ``gone`` (it answered 410), ``failing`` (five days of failures) or ``manual``.
        failing_since: Since when every delivery failed.
        last_position: Place in the feed of the newest event that was handed to it: ``replay_from`` after a pause.
        connection: The connection that owns it, when it is a subscription.
        filters: Keys of ``data`` and the values that they must have, when it is a subscription.
    """

    id: str
    url: str
    event_types: list[str]
    account: HostId | None
    description: str
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    last_position: int
    previous_secret_until: datetime | None = None
    connection: str | None = None
    filters: dict[str, Any] = {}
    secret: str | None = None


class EndpointTest(Output, frozen=True, kw_only=True):
    """What came of one test message, sent at once and only once.

    Attributes:
        id: Id of the ``endpoint.test`` event that was sent.
        status: The HTTP status; null when no answer came.
        error: Why it does not count as delivered.
        excerpt: What was sent and answered, shortened.
    """

    id: str
    delivered: bool
    status: int | None
    duration_ms: int
    error: str | None
    excerpt: str


class Attempt(Output, frozen=True, kw_only=True):
    """One try of a delivery."""

    number: int
    started_at: datetime
    duration_ms: int | None
    status: str | None
    error: str | None
    excerpt: str | None


DeliveryState = Literal["waiting", "delivered", "failed", "cancelled", "parked"]


class Delivery(Output, frozen=True, kw_only=True):
    """A task that carries something to one target, as people see it.

    Attributes:
        kind: ``event`` (to an endpoint), ``signup`` (to a CRM) or ``status`` (to a CRM).
    """

    id: str
    kind: Literal["event", "signup", "status"]
    account: HostId
    target: str
    subject: str
    type: str
    state: DeliveryState
    attempts: list[Attempt]
    created_at: datetime
    next_attempt_at: datetime | None
    error: str | None


class ReplayInput(Input, frozen=True, kw_only=True):
    """Which deliveries of events to send again; what is null does not narrow.

    Only events to endpoints: a push of a signup or a status update into a CRM is sent again by itself
    (``POST /v1/deliveries/{id}/replay``).

    Attributes:
        state: Which state they are in; null: any.
        since: Made at this time or later.
        until: Made before this time.
    """

    endpoint: str | None = None
    account: HostId | None = None
    state: DeliveryState | None = "failed"
    since: datetime | None = None
    until: datetime | None = None


class ReplayResult(Output, frozen=True, kw_only=True):
    """How many deliveries a replay sends (``dry_run``: would send)."""

    matched: int
    replayed: int
    dry_run: bool


class Ledger(Output, frozen=True, kw_only=True):
    """Where a day's accepted signups are: ``accepted`` is the sum of the rest.

    Attributes:
        balanced: The sum holds; false is a bug and an alarm.
    """

    account: HostId | None
    day: str
    accepted: int
    delivered: int
    refused: int
    held: int
    parked: int
    under_way: int
    balanced: bool
    events: dict[str, int] = {}
