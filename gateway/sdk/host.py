"""All that a plugin may ask of the host: one Protocol, bound to the connection's account.

Flows implement it. A plugin never sees another account, and never the database.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from gateway_schemas.base import Money
from gateway_schemas.campaign import Campaign, Reward
from gateway_schemas.events import Endpoint, Event
from gateway_schemas.person import Explanation, Person, PersonPatch, Sale, SaleInput
from gateway_schemas.signup import Signup, SignupResult


class Host(Protocol):
    """The account's side of the gateway."""

    async def accept_signup(self, campaign: str, signup: Signup) -> SignupResult:
        """Accept one signup, durably, as ``POST C/signups`` does."""

    async def qualify(
        self, person: str, *, qualified: bool, sale_value: Money | None = None, reason: str | None = None
    ) -> Explanation:
        """Qualify or reverse a referral by hand."""

    async def record_sale(self, person: str, sale: SaleInput) -> Sale:
        """Record a sale or a refund, once per reference."""

    async def update_person(self, person: str, patch: PersonPatch) -> Person:
        """Change link, code, counts or names of a person."""

    async def mark_reward_issued(self, reward: str) -> Reward:
        """Say that a reward was paid."""

    async def find_people(
        self, *, campaign: str | None = None, role: str | None = None, query: str | None = None, limit: int = 50
    ) -> Sequence[Person]:
        """Find people by name, e-mail, code or id."""

    async def find_rewards(self, *, state: str | None = None, limit: int = 50) -> Sequence[Reward]:
        """Find rewards, newest first."""

    async def campaigns(self) -> Sequence[Campaign]:
        """Return the account's campaigns."""

    async def subscribe(
        self, url: str, event_types: Sequence[str], *, filters: dict[str, Any] | None = None
    ) -> Endpoint:
        """Make an endpoint that is owned by this connection."""

    async def unsubscribe(self, endpoint_id: str) -> None:
        """Remove an endpoint of this connection; unknown ids are fine."""

    async def recent_events(self, event_type: str, *, limit: int = 3, since: datetime | None = None) -> Sequence[Event]:
        """Return real recent events, newest first, for samples."""
