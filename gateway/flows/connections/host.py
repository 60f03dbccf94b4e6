"""What a plugin may ask of the gateway, bound to the account of its connection (``gateway.sdk.host.Host``).

Each method is the flow that the API calls too; there is no second way to do anything.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import invalid, not_found
from gateway.flows import accounts
from gateway.flows.campaigns import campaign as campaign_flow
from gateway.flows.field_problems import field_problem
from gateway.flows.notify import endpoints
from gateway.flows.people import people, status_updates
from gateway.flows.referrals import qualification
from gateway.flows.rewards import rewards, sales
from gateway.flows.services import Services
from gateway.flows.signups import signup as signup_flow
from gateway.sdk.host import Host
from gateway.storage.connections import ConnectionRow
from gateway_schemas.account import Account
from gateway_schemas.base import Money
from gateway_schemas.campaign import Campaign, Reward
from gateway_schemas.events import Endpoint, Event
from gateway_schemas.person import Explanation, Person, PersonPatch, QualificationInput, Sale, SaleInput
from gateway_schemas.signup import Signup, SignupResult

MOST = 200
"""Rows that one call returns at most."""


class AccountHost(Host):
    """The account's side of the gateway, for the plugin of one connection.

    Args:
        services: The process's services.
        row: The connection; what it asks for belongs to its account, and subscriptions to itself.
    """

    def __init__(self, services: Services, row: ConnectionRow) -> None:
        self._services = services
        self._row = row

    async def account(self) -> Account:
        """Return the account."""
        self._refuse_stand_in()
        return await accounts.get_account(self._services, self._row.account_id)

    async def accept_signup(self, campaign: str, signup: Signup) -> SignupResult:
        """Accept one signup, durably."""
        return await signup_flow.accept_signup(self._services, self._row.account_id, campaign, signup)

    async def qualify(
        self, person: str, *, qualified: bool, sale_value: Money | None = None, reason: str | None = None
    ) -> Explanation:
        """Qualify or reverse a referral by hand."""
        given = QualificationInput(qualified=qualified, sale_value=sale_value, reason=reason)
        return await qualification.qualify(self._services, self._row.account_id, person, given)

    async def record_sale(self, person: str, sale: SaleInput) -> Sale:
        """Record a sale or a refund, once per reference."""
        return await sales.record_sale(self._services, self._row.account_id, person, sale, origin="plugin")

    async def update_person(self, person: str, patch: PersonPatch) -> Person:
        """Change link, code, counts, names, external id or answers of a person; what a plugin made is checked."""
        try:
            patch = msgspec.convert(msgspec.to_builtins(patch), PersonPatch)
        except msgspec.ValidationError as error:
            raise invalid(field_problem(error)) from error
        return await status_updates.update(self._services, self._row.account_id, person, patch)

    async def mark_reward_issued(self, reward: str) -> Reward:
        """Say that a reward was paid."""
        return await rewards.mark_reward_issued(self._services, self._row.account_id, reward)

    async def person(self, ref: str) -> Person:
        """Return one person."""
        return await people.find(self._services, self._row.account_id, ref)

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
        """Find people, newest first."""
        wanted = people.query_for(
            self._services, self._row.account_id, campaign=campaign, role=role, q=query, limit=_bounded(limit)
        )
        wanted = msgspec.structs.replace(wanted, code=code, external_id=external_id)
        if email is not None:
            wanted = msgspec.structs.replace(wanted, email_hash=people.hash_of_email(self._services, email))
        return (await people.find_page(self._services, wanted)).data

    async def find_rewards(
        self, *, state: str | None = None, referrer: str | None = None, limit: int = 50
    ) -> Sequence[Reward]:
        """Find rewards, newest first."""
        page = await rewards.find_rewards(
            self._services, self._row.account_id, state=state, referrer=referrer, limit=_bounded(limit)
        )
        return page.data

    async def campaigns(
        self, ids: Collection[str] | None = None, *, skip: int = 0, limit: int | None = None
    ) -> Sequence[Campaign]:
        """Return campaigns of the account, by id: these, a stretch of them, or all."""
        return await campaign_flow.find_some(self._services, self._row.account_id, ids, skip=skip, limit=limit)

    async def subscribe(
        self, url: str, event_types: Sequence[str], *, filters: dict[str, Any] | None = None
    ) -> Endpoint:
        """Make an endpoint that is owned by this connection."""
        self._refuse_stand_in()
        return await endpoints.subscribe(self._services, self._row, url, event_types, filters=filters)

    async def unsubscribe(self, endpoint_id: str | None = None, *, url: str | None = None) -> None:
        """Remove an endpoint of this connection by its id, or those with a URL; unknown ones are fine."""
        await endpoints.unsubscribe(self._services, self._row, endpoint_id, url=url)

    async def sample_bodies(
        self, event_types: Sequence[str], *, filters: dict[str, Any] | None = None, limit: int = 3
    ) -> Sequence[dict[str, Any]]:
        """Return what such a subscription would have been sent of recent events, newest first."""
        return await endpoints.sample_bodies(self._services, self._row, event_types, filters, _bounded(limit))

    async def recent_events(self, event_type: str, *, limit: int = 3, since: datetime | None = None) -> Sequence[Event]:
        """Return real recent events, newest first, for samples."""
        return await endpoints.recent_events(
            self._services, self._row.account_id, event_type, limit=_bounded(limit), since=since
        )

    def _refuse_stand_in(self) -> None:
        if not self._row.account_id:  # an installation that no account has claimed yet
            raise not_found("account", "")


def _bounded(limit: int) -> int:
    return min(max(limit, 1), MOST)
