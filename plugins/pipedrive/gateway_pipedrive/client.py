"""Pipedrive's API as this plugin uses it: v2 where a v2 path exists, v1 only where none does.

Source: ``VENDOR.md``, chapters 1 (which call, which version, what it costs) and 7 (the calls). Costs are
tokens of the company's daily budget.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.sdk.errors import RecordGone
from gateway_pipedrive.errors import Forbidden
from gateway_pipedrive.models import (
    Currency,
    Deal,
    FieldDefinition,
    Lead,
    LeadField,
    LeadLabel,
    Me,
    Note,
    Person,
    Pipeline,
    SavedFilter,
    SearchItems,
    Stage,
    User,
    Webhook,
)
from gateway_pipedrive.wire import Params, Wire

V1, V2 = "/api/v1", "/api/v2"
SEARCH_PAGE = 100
"""The specification says 500; the live API is reported to refuse more than 100."""

SEARCHES = "searches"
"""The window that the vendor counts searches in, beside that of all calls (chapter 4)."""

NOT_VISIBLE = (RecordGone, Forbidden)
"""Both say that a single record is not there for the connected user (chapter 3)."""

IDS_PER_CALL = 100
DEAL_FIELDS = "source_lead_id,first_won_time"
"""What ``include_fields`` must ask for: the lead that became the deal, and that it was won once even if re-opened."""

ANY_STATUS = "open,won,lost,deleted"


class Pipedrive(Wire):
    """The calls of one connection."""

    # Whom we are connected as, and lists for pickers

    async def me(self) -> Me:
        """Return the connected user and company."""
        return await self._one("GET", f"{V1}/users/me", Me, cost=2)

    async def users(self) -> list[User]:
        """Return all users; not paged."""
        return await self._list(f"{V1}/users", User, cost=20)

    async def currencies(self) -> list[Currency]:
        """Return all currencies; not paged."""
        return await self._list(f"{V1}/currencies", Currency, cost=20)

    async def people_filters(self) -> list[SavedFilter]:
        """Return saved filters of persons; not paged."""
        return await self._list(f"{V1}/filters", SavedFilter, cost=20, params={"type": "people"})

    async def pipelines(self) -> list[Pipeline]:
        """Return all pipelines."""
        return await self._all(f"{V2}/pipelines", Pipeline, cost=5)

    async def stages(self, pipeline: str | None = None) -> list[Stage]:
        """Return the stages of a pipeline, or of all."""
        return await self._all(f"{V2}/stages", Stage, cost=5, params={"pipeline_id": pipeline})

    # Fields

    async def person_fields(self) -> list[FieldDefinition]:
        """Return every field of persons."""
        return await self._all(f"{V2}/personFields", FieldDefinition, cost=10)

    async def deal_fields(self) -> list[FieldDefinition]:
        """Return every field of deals; leads inherit the custom ones under the same keys."""
        return await self._all(f"{V2}/dealFields", FieldDefinition, cost=10)

    async def lead_fields(self) -> list[LeadField]:
        """Return every field of leads, standard ones and inherited ones."""
        return [row async for page in self._offset_pages(f"{V1}/leadFields", LeadField, cost=20) for row in page]

    async def lead_labels(self) -> list[LeadLabel]:
        """Return the labels of leads; not paged."""
        return await self._list(f"{V1}/leadLabels", LeadLabel, cost=10)

    async def create_field(self, kind: str, body: Params) -> FieldDefinition:
        """Make a custom field of persons, or of deals and so of leads."""
        path = f"{V2}/personFields" if kind == "contact" else f"{V2}/dealFields"
        return await self._one("POST", path, FieldDefinition, cost=5, json=body)

    # Persons

    async def person(self, person_id: str) -> Person | None:
        """Return a person; ``None`` when deleted, merged away, or not visible to the connected user."""
        try:
            found = await self._one("GET", f"{V2}/persons/{person_id}", Person, cost=1)
        except NOT_VISIBLE:
            return None
        return None if found.is_deleted else found

    async def search_persons(self, email: str) -> list[int]:
        """Return ids of persons that the search index has under an e-mail; it lags, and matches must be verified."""
        params = {"term": email, "fields": "email", "exact_match": "true", "limit": SEARCH_PAGE}
        path = f"{V2}/persons/search"
        answer = await self._answer("GET", path, SearchItems, cost=20, params=params, window=SEARCHES)
        return [found.item.id for found in answer.data.items]

    def persons(self, **params: Any) -> AsyncIterator[list[Person]]:
        """Walk a list of persons page by page."""
        return self._cursor_pages(f"{V2}/persons", Person, cost=10, params=params)

    async def persons_page(self, params: Params) -> tuple[list[Person], str | None]:
        """Return one page of persons and the cursor of the next."""
        return await self._page(f"{V2}/persons", Person, cost=10, params=params)

    async def create_person(self, body: Params) -> str:
        """Make a person and return its id."""
        return await self._created(f"{V2}/persons", body, cost=5)

    async def update_person(self, person_id: str, body: Params) -> None:
        """Change the keys sent; ``emails`` and ``phones`` replace the whole list."""
        await self._http.patch(f"{V2}/persons/{person_id}", json=body, cost=5)

    # Deals

    async def deal(self, deal_id: str) -> Deal | None:
        """Return a deal, archived or not; ``None`` when deleted or not visible."""
        try:
            return await self._one("GET", f"{V2}/deals/{deal_id}", Deal, cost=1, params={"include_fields": DEAL_FIELDS})
        except NOT_VISIBLE:
            return None

    def deals(self, **params: Any) -> AsyncIterator[list[Deal]]:
        """Walk a list of deals that are not archived."""
        return self._cursor_pages(f"{V2}/deals", Deal, cost=10, params={"include_fields": DEAL_FIELDS, **params})

    def archived_deals(self, **params: Any) -> AsyncIterator[list[Deal]]:
        """Walk a list of archived deals."""
        return self._cursor_pages(
            f"{V2}/deals/archived", Deal, cost=20, params={"include_fields": DEAL_FIELDS, **params}
        )

    async def deals_page(self, params: Params, *, archived: bool) -> tuple[list[Deal], str | None]:
        """Return one page of deals and the cursor of the next."""
        path, cost = (f"{V2}/deals/archived", 20) if archived else (f"{V2}/deals", 10)
        return await self._page(path, Deal, cost=cost, params={"include_fields": DEAL_FIELDS, **params})

    async def create_deal(self, body: Params) -> str:
        """Make a deal and return its id."""
        return await self._created(f"{V2}/deals", body, cost=5)

    async def update_deal(self, deal_id: str, body: Params) -> None:
        """Change the keys sent."""
        await self._http.patch(f"{V2}/deals/{deal_id}", json=body, cost=5)

    # Leads, all of them v1

    async def lead(self, lead_id: str) -> Lead | None:
        """Return a lead, archived or not; ``None`` when deleted (also by conversion) or not visible."""
        try:
            return Lead.read(await self._one("GET", f"{V1}/leads/{lead_id}", dict[str, Any], cost=2))
        except NOT_VISIBLE:
            return None

    async def leads(self, person_id: str, *, archived: bool) -> AsyncIterator[list[Lead]]:
        """Walk the leads of a person."""
        path, cost = (f"{V1}/leads/archived", 40) if archived else (f"{V1}/leads", 20)
        async for page in self._offset_pages(path, dict[str, Any], cost=cost, params={"person_id": person_id}):
            yield [Lead.read(row) for row in page]

    async def create_lead(self, body: Params) -> str:
        """Make a lead and return its id."""
        return await self._created(f"{V1}/leads", body, cost=10)

    async def update_lead(self, lead_id: str, body: Params) -> None:
        """Change the keys sent."""
        await self._http.patch(f"{V1}/leads/{lead_id}", json=body, cost=10)

    # Notes, v1

    async def note(self, note_id: str) -> Note | None:
        """Return a note; ``None`` when it is gone."""
        try:
            found = await self._one("GET", f"{V1}/notes/{note_id}", Note, cost=2)
        except NOT_VISIBLE:
            return None
        return found if found.active_flag else None

    def notes(self, **params: Any) -> AsyncIterator[list[Note]]:
        """Walk the notes of a lead, deal or person."""
        return self._offset_pages(f"{V1}/notes", Note, cost=20, params=params)

    async def create_note(self, body: Params) -> str:
        """Make a note and return its id."""
        return await self._created(f"{V1}/notes", body, cost=10)

    # Webhook subscriptions, v1

    async def webhooks(self) -> list[Webhook]:
        """Return the subscriptions of our app for this user; not paged."""
        return await self._list(f"{V1}/webhooks", Webhook, cost=10)

    async def create_webhook(self, body: Params) -> Webhook:
        """Subscribe."""
        return await self._one("POST", f"{V1}/webhooks", Webhook, cost=10, json=body)

    async def delete_webhook(self, webhook_id: int) -> None:
        """Unsubscribe; one that is gone already is fine."""
        try:
            await self._http.delete(f"{V1}/webhooks/{webhook_id}", cost=6)
        except RecordGone:
            return


def ids(numbers: Sequence[str]) -> str:
    """Return an ``ids`` parameter; what is no number cannot be an id and is left out."""
    return ",".join(number for number in numbers if number.isdecimal())
