"""Write a signup: one booking, made once, and only for somebody who is no customer yet.

The whole decision is one step of ``push.once``: what the gateway found out about an e-mail address before the first
write (``push.existing``) is read again inside it, and the answer is remembered with it. The vendor knows no
idempotency keys and is not known to refuse a repeated external id, so the list of bookings by our external id is
looked at before *every* create, not only when an earlier attempt is in doubt: an adopted booking is better than a
second one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import MappingBroken, NotSupported, Rejected
from gateway_schemas.base import FieldValue
from gateway_schemas.records import RecordRef
from gateway_servicetitan import existing
from gateway_servicetitan.bodies import Draft, booking_body, external_id
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden, RefusedInput
from gateway_servicetitan.models import Named
from gateway_servicetitan.records import booking_ref
from gateway_servicetitan.targets import BOOKING

Values = Mapping[str, Mapping[str, FieldValue]]

CANNOT_QUALIFY = (
    "A customer with this e-mail address was there already and no booking was created, so this signup cannot qualify."
)


async def push_signup(connection: Connection, push: Push) -> PushResult:
    """Write one signup.

    Raises:
        MappingBroken: A mapped campaign, business unit or job type is gone.
        Rejected: The vendor refused these values for good.
        ReauthRequired: The app was disabled for the account, or may not make bookings any more.
        NotSupported: The target is none of ours.
    """
    if push.target != BOOKING:
        raise NotSupported(f"ServiceTitan has no target {push.target!r}")
    client = ServiceTitan(connection)
    values = push.values.get(BOOKING, {})
    draft = booking_body(values, email=push.email, reference=push.reference, country=connection.country)
    return await _Signup(connection, client, push, draft).write()


async def find_by_reference(connection: Connection, reference: str, values: Values) -> list[RecordRef]:
    """Return the bookings that carry the external id of one signup; more than one is a mishap to be told.

    Args:
        connection: An active connection.
        reference: The reference of the push.
        values: What it sent.
    """
    called = external_id(values.get(BOOKING, {}), reference)
    return [booking_ref(one.id) for one in await ServiceTitan(connection).bookings_called(called)]


class _Signup:
    """One push and what it has learnt so far."""

    def __init__(self, connection: Connection, client: ServiceTitan, push: Push, draft: Draft) -> None:
        self.connection = connection
        self.client = client
        self.push = push
        self.draft = draft
        self.others: list[RecordRef] = []
        self.notes = list(draft.notes)

    async def write(self) -> PushResult:
        """Do the one step."""
        made = await self.push.once(BOOKING, find=self._made_before, create=self._create)
        cannot = None
        if made.ref.kind == "customer":
            self.notes.clear()  # about a booking that was not made
            cannot = CANNOT_QUALIFY if self.push.role == "referred" else None
        return PushResult(records=[made], others=self.others, cannot_qualify=cannot, notes=self.notes)

    async def _made_before(self, _began: datetime) -> PushedRecord | None:
        found = await self.client.bookings_called(self.draft.body["externalId"])
        return _booking(found[0].id) if found else None

    async def _create(self) -> PushedRecord:
        # Somebody may have become a customer through this very booking, so it is looked for first.
        if (before := await self._made_before(self.connection.now())) is not None:
            return before
        if self.push.duplicates == "skip":
            told = (*self.push.existing, *self.push.known)
            found = await existing.still_there(self.client, told, self.push.email)
            if found:
                self.others = found[1:]
                return PushedRecord(ref=found[0], how="matched")
        try:
            booking = await self.client.create_booking(self.draft.body)
        except RefusedInput as refused:
            raise await self._explained(refused) from refused
        return _booking(booking.id)

    async def _explained(self, refused: RefusedInput) -> MappingBroken | Rejected:
        """Tell a choice that is gone from a value that is wrong."""
        lists: dict[str, Callable[[], Awaitable[Sequence[Named]]]] = {
            "campaignId": self.client.campaigns,
            "businessUnitId": self.client.business_units,
            "jobTypeId": self.client.job_types,
        }
        gone: list[str] = []
        for key, listed in lists.items():
            chosen = self.draft.body.get(key)
            if chosen is None:
                continue
            try:
                offered = {one.id for one in await listed()}
            except Forbidden:
                continue
            if chosen not in offered:
                gone.append(key)
        return MappingBroken(f"{refused} Not there any more: {', '.join(gone)}.", gone) if gone else refused


def _booking(number: int) -> PushedRecord:
    return PushedRecord(ref=booking_ref(number), how="created")
