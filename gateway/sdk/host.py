"""All that a plugin may ask of the host: one Protocol, bound to the connection's account.

Flows implement it. A plugin never sees another account, and never the database.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol

from gateway_schemas.account import Account
from gateway_schemas.base import Money
from gateway_schemas.campaign import Campaign, Reward
from gateway_schemas.events import Endpoint, Event
from gateway_schemas.person import Explanation, Person, PersonPatch, Sale, SaleInput
from gateway_schemas.signup import Signup, SignupResult


class Host(Protocol):
    """The account's side of the gateway.

    What it refuses (a person who does not exist, a reward in another state) reaches the caller of a route as a problem
    document with the gateway's own words; a plugin need not catch it.
    """

    async def account(self) -> Account:
        """Return the account."""

    async def accept_signup(self, campaign: str, signup: Signup) -> SignupResult:
        """Accept one signup, durably, as ``POST C/signups`` does."""

    async def qualify(
        self, person: str, *, qualified: bool, sale_value: Money | None = None, reason: str | None = None
    ) -> Explanation:
        """Qualify or reverse a referral by hand."""

    async def record_sale(self, person: str, sale: SaleInput) -> Sale:
        """Record a sale or a refund, once per reference."""

    async def update_person(self, person: str, patch: PersonPatch) -> Person:
        """Change link, code, counts, names, external id or form answers of a person."""

    async def mark_reward_issued(self, reward: str) -> Reward:
        """Say that a reward was paid."""

    async def person(self, ref: str) -> Person:
        """Return one person by ``per_…``, or by ``ext:`` and the host's id."""

    async def find_people(
        self,
        *,
        campaign: str | None = None,
        role: str | None = None,
        query: str | None = None,
        email: str | None = None,
        code: str | None = None,
        external_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[Person]:
        """Find people, newest first.

        Args:
            campaign: Only of this campaign.
            role: ``referred`` or ``referrer``.
            query: Part of a name; or a whole e-mail, code, external id or id.
            email: Exactly this address, in any case and with any spaces around it.
            code: Exactly this code.
            external_id: Exactly this id of the host's.
            limit: At most so many (200).
        """

    async def find_rewards(
        self, *, state: str | None = None, referrer: str | None = None, limit: int = 50
    ) -> Sequence[Reward]:
        """Find rewards, newest first; of one referrer (an id ``per_…``), or of all."""

    async def campaigns(
        self, ids: Collection[str] | None = None, *, skip: int = 0, limit: int | None = None
    ) -> Sequence[Campaign]:
        """Return campaigns of the account, by id.

        Args:
            ids: These alone; those that are not there are left out. Null: all.
            skip: So many are left out at the beginning.
            limit: At most so many; null: all that there are.
        """

    async def subscribe(
        self, url: str, event_types: Sequence[str], *, filters: dict[str, Any] | None = None
    ) -> Endpoint:
        """Make an endpoint that is owned by this connection; the same one again is answered with the one that is there.

        Args:
            url: Where events go: https, and reachable for everybody.
            event_types: Types of events.
            filters: Keys of ``data`` and the value, or a list of values, that they must have. A key that the data of an
                event lacks counts as null.
        """

    async def unsubscribe(self, endpoint_id: str | None = None, *, url: str | None = None) -> None:
        """Remove an endpoint of this connection by its id, or those with a URL; unknown ones are fine."""

    async def sample_bodies(
        self, event_types: Sequence[str], *, filters: dict[str, Any] | None = None, limit: int = 3
    ) -> Sequence[dict[str, Any]]:
        """Return what ``shape_event`` makes of real recent events that such a subscription gets, newest first."""

    async def recent_events(self, event_type: str, *, limit: int = 3, since: datetime | None = None) -> Sequence[Event]:
        """Return real recent events, newest first, for samples."""
