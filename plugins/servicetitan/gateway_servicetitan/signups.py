"""Write a signup: one booking, made once, and only for somebody who is no customer yet.

The whole decision is one step of ``push.once``: whether somebody is a customer is asked inside it and remembered with
it. The vendor knows no idempotency keys and is not known to refuse a repeated external id, so the list of bookings by
our external id is looked at before *every* create, not only when an earlier attempt is in doubt: an adopted booking is
better than a second one.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from gateway.sdk.connection import Connection, Push, PushedRecord, PushResult
from gateway.sdk.errors import MappingBroken, NotSupported, Rejected
from gateway_schemas.records import RecordRef
from gateway_servicetitan import existing
from gateway_servicetitan.bodies import Draft, booking_body
from gateway_servicetitan.client import ServiceTitan
from gateway_servicetitan.errors import Forbidden, RefusedInput
from gateway_servicetitan.models import Named
from gateway_servicetitan.targets import BOOKING

CANNOT_QUALIFY = (
    "A customer with this e-mail address was there already and no booking was created, so this signup cannot qualify."
)
NOT_SEARCHED = (
    "ServiceTitan's own search by e-mail address is closed for this account, and its list of contacts was not read to "
    "the end yet: whether this is a customer already was not fully checked."
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
        return _record(BOOKING, found[0].id, created=True) if found else None

    async def _create(self) -> PushedRecord:
        # Somebody may have become a customer through this very booking, so it is looked for first.
        if (before := await self._made_before(self.connection.now())) is not None:
            return before
        if self.push.duplicates == "skip":
            found = await existing.look(self.connection, self.client, self.push)
            if found.customers:
                self.others = existing.refs(found.customers[1:])
                return _record("customer", found.customers[0].id, created=False)
            if not found.searched and not self.push.existing_complete:
                self.notes.append(NOT_SEARCHED)
        try:
            booking = await self.client.create_booking(self.draft.body)
        except RefusedInput as refused:
            raise await self._explained(refused) from refused
        return _record(BOOKING, booking.id, created=True)

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


def _record(kind: str, number: int, *, created: bool) -> PushedRecord:
    return PushedRecord(ref=RecordRef(kind=kind, id=str(number)), how="created" if created else "matched")
