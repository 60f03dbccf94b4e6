"""Status updates that go out to a CRM: a person's link, counts and state as the host knows them."""

from gateway_schemas.base import Output
from gateway_schemas.person import Counts, ReferralState


class PersonStatus(Output, frozen=True, kw_only=True):
    """What may be written back to a CRM about a person, always the newest."""

    person: str
    code: str | None = None
    link: str | None = None
    counts: Counts | None = None
    state: ReferralState | None = None
