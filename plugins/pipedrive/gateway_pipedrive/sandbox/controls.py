"""What a test, a demonstration or a test in another language may do to the sandbox, beside calling its API.

Each public method of ``Controls`` is also ``POST /_control/{method}`` with its parameters as a JSON object, answering
``{"result": …}``. Writes go through the same code as the API with ``change_source`` ``app``, so the fake never gets
into a state that the vendor would refuse. Where a company or user is not named, the first one is meant.
"""

import base64
from typing import Any, Literal

from gateway.sdk.faults import FaultControls
from gateway_pipedrive.sandbox import conversion, deals, fields, leads, notes, persons
from gateway_pipedrive.sandbox.calls import Answer, Call, Handler
from gateway_pipedrive.sandbox.core import Core
from gateway_pipedrive.sandbox.events import records_of
from gateway_pipedrive.sandbox.faults import RequestEntry
from gateway_pipedrive.sandbox.limits import daily_budget
from gateway_pipedrive.sandbox.outbox import Attempt
from gateway_pipedrive.sandbox.shapes import rfc3339
from gateway_pipedrive.sandbox.state import (
    Company,
    Condition,
    Deal,
    FieldDefinition,
    Lead,
    LeadLabel,
    Note,
    Option,
    Organization,
    Person,
    Pipeline,
    SavedFilter,
    Stage,
    Subscription,
    User,
)

Json = dict[str, Any]


class Controls(FaultControls, Core):
    """Hands on the sandbox; see the module's docstring."""

    # Tenants

    def add_company(self, name: str = "Acme", domain: str | None = None, **settings: Any) -> Company:
        """Add a company with one admin, the built-in fields and one pipeline of one stage.

        Args:
            name: Its name.
            domain: Its subdomain; made from the name when left out.
            settings: Attributes of ``Company``: ``plan``, ``seats``, ``default_currency``, ``open_deals_limit`` …
        """
        state = self.state
        company = Company(
            state.next_id("company", 8_087_565), name, domain or name.lower().replace(" ", "-"), **settings
        )
        state.companies[company.id] = company
        fields.add_built_in(state, company)
        self.add_user(f"{name} Admin", company_id=company.id)
        now = state.now()
        for label, color in (("Hot", "red"), ("Warm", "yellow"), ("Cold", "blue")):
            uuid = state.new_uuid("label")
            company.lead_labels[uuid] = LeadLabel(uuid, label, color, now)
        return company

    def add_user(
        self, name: str, email: str | None = None, *, is_admin: bool = True, company_id: int | None = None
    ) -> User:
        """Add a user; one who is no admin does not see other owners' records of ``visible_to`` 1."""
        state, company = self.state, self.company(company_id)
        user_id = state.next_id("user", 12_415_230)
        address = email or f"{name.lower().replace(' ', '.')}@{company.domain}.test"
        user = User(user_id, company.id, name, address, is_admin, add_time=state.now())
        user.api_token = state.unguessable("api token")
        state.users[user.id] = company.users[user.id] = user
        return user

    def add_pipeline(self, name: str, stages: list[str], *, company_id: int | None = None) -> Pipeline:
        """Add a pipeline with stages in this order."""
        company, now = self.company(company_id), self.state.now()
        pipeline_id = company.next_id("pipeline")
        company.pipelines[pipeline_id] = Pipeline(pipeline_id, name, pipeline_id, False, now, now)
        for stage in stages:
            self.add_stage(pipeline_id, stage, company_id=company.id)
        return company.pipelines[pipeline_id]

    def add_stage(self, pipeline_id: int, name: str, *, company_id: int | None = None) -> Stage:
        """Add a stage at the end of a pipeline."""
        company, now = self.company(company_id), self.state.now()
        stage_id = company.next_id("stage")
        order = len(company.stages_of(pipeline_id)) + 1
        company.stages[stage_id] = Stage(stage_id, name, pipeline_id, order, False, now, now)
        return company.stages[stage_id]

    def delete_stage(self, stage_id: int, *, company_id: int | None = None) -> None:
        """Mark a stage as deleted; its deals stay where they are."""
        stage = self.company(company_id).stages[stage_id]
        stage.is_deleted, stage.update_time = True, self.state.now()

    def delete_pipeline(self, pipeline_id: int, *, company_id: int | None = None) -> None:
        """Mark a pipeline and its stages as deleted."""
        company = self.company(company_id)
        pipeline = company.pipelines[pipeline_id]
        pipeline.is_deleted, pipeline.update_time = True, self.state.now()
        for stage in company.stages_of(pipeline_id):
            self.delete_stage(stage.id, company_id=company.id)

    def add_field(
        self,
        entity: Literal["person", "deal"],
        name: str,
        type: str = "varchar",  # noqa: A002 - the vendor's word
        options: list[str] | None = None,
        *,
        code: str | None = None,
        company_id: int | None = None,
    ) -> FieldDefinition:
        """Add a custom field; for leads add it to deals."""
        return fields.add_field(self.state, self.company(company_id), entity, name, type, options or [], code)

    def rename_field(self, code: str, name: str, *, company_id: int | None = None) -> None:
        """Rename a field; its code stays."""
        self._field(code, company_id).name = name

    def delete_field(self, code: str, *, company_id: int | None = None) -> None:
        """Delete a custom field: reads leave it out, writes that name it fail as a whole."""
        self._field(code, company_id).is_deleted = True

    def add_option(self, code: str, label: str, *, company_id: int | None = None) -> Option:
        """Add an option to an ``enum`` or ``set`` field."""
        option = Option(100 + self.company(company_id).next_id("option"), label)
        self._field(code, company_id).options.append(option)
        return option

    def delete_option(self, code: str, option_id: int, *, company_id: int | None = None) -> None:
        """Delete an option: writes that name it fail."""
        field = self._field(code, company_id)
        field.options = [option for option in field.options if option.id != option_id]

    def add_filter(
        self,
        name: str,
        type: str = "people",  # noqa: A002 - the vendor's word
        conditions: list[Any] | None = None,
        *,
        is_temporary: bool = False,
        company_id: int | None = None,
    ) -> SavedFilter:
        """Add a saved filter; a condition is ``[field or code, operator, value]``."""
        company = self.company(company_id)
        user = next(iter(company.users))
        made = SavedFilter(
            company.next_id("filter"),
            name,
            type,
            user,
            [one if isinstance(one, Condition) else Condition(*one) for one in conditions or []],
            self.state.now(),
            is_temporary,
        )
        company.filters[made.id] = made
        return made

    def delete_filter(self, filter_id: int, *, company_id: int | None = None) -> None:
        """Delete a saved filter: lists that name it are refused."""
        self.company(company_id).filters[filter_id].is_deleted = True

    # Records

    def add_organization(self, name: str, *, company_id: int | None = None) -> Organization:
        """Add an organization."""
        company = self.company(company_id)
        made = Organization(company.next_id("organization"), name, next(iter(company.users)))
        company.organizations[made.id] = made
        return made

    def add_person(self, name: str, email: str | None = None, *, company_id: int | None = None, **body: Any) -> Person:
        """Add a person as somebody would on the vendor's screen; more keys are those of the v2 body."""
        if email is not None:
            body["emails"] = [{"value": email, "primary": True, "label": "work"}]
        answer = self._do(persons.create_person, {"name": name, **body}, company_id=company_id)
        return self.company(company_id).persons[answer.body["data"]["id"]]

    def update_person(self, person_id: int, *, company_id: int | None = None, **body: Any) -> Person:
        """Change a person."""
        self._do(persons.update_person, body, company_id=company_id, id=person_id)
        return self.company(company_id).persons[person_id]

    def delete_person(self, person_id: int, *, company_id: int | None = None) -> None:
        """Delete a person."""
        self._do(persons.delete_person, company_id=company_id, id=person_id)

    def merge_persons(self, person_id: int, into: int, *, company_id: int | None = None) -> Person:
        """Merge one person into another, which survives."""
        self._do(persons.merge_persons, {"merge_with_id": into}, company_id=company_id, id=person_id)
        return self.company(company_id).persons[into]

    def add_deal(self, title: str, *, company_id: int | None = None, **body: Any) -> Deal:
        """Add a deal; more keys are those of the v2 body."""
        answer = self._do(deals.create_deal, {"title": title, **body}, company_id=company_id)
        deal = self.company(company_id).deals[answer.body["data"]["id"]]
        deal.origin = "ManuallyCreated"
        return deal

    def update_deal(self, deal_id: int, *, company_id: int | None = None, **body: Any) -> Deal:
        """Change a deal; more keys are those of the v2 body."""
        self._do(deals.update_deal, body, company_id=company_id, id=deal_id)
        return self.company(company_id).deals[deal_id]

    def move_deal(self, deal_id: int, stage_id: int, *, company_id: int | None = None) -> Deal:
        """Move a deal to a stage, of another pipeline if need be."""
        return self.update_deal(deal_id, company_id=company_id, stage_id=stage_id)

    def win_deal(self, deal_id: int, *, company_id: int | None = None) -> Deal:
        """Win a deal."""
        return self.update_deal(deal_id, company_id=company_id, status="won")

    def lose_deal(self, deal_id: int, reason: str | None = None, *, company_id: int | None = None) -> Deal:
        """Lose a deal."""
        return self.update_deal(deal_id, company_id=company_id, status="lost", lost_reason=reason)

    def reopen_deal(self, deal_id: int, *, company_id: int | None = None) -> Deal:
        """Open a won or lost deal again."""
        return self.update_deal(deal_id, company_id=company_id, status="open")

    def archive_deal(self, deal_id: int, *, company_id: int | None = None, archived: bool = True) -> Deal:
        """Archive a deal, or bring it back."""
        return self.update_deal(deal_id, company_id=company_id, is_archived=archived)

    def delete_deal(self, deal_id: int, *, company_id: int | None = None) -> None:
        """Delete a deal."""
        self._do(deals.delete_deal, company_id=company_id, id=deal_id)

    def add_products(
        self, deal_id: int, total: float, mrr: float | None = None, *, company_id: int | None = None
    ) -> Deal:
        """Give a deal products: its value becomes their sum and can no longer be written."""
        deal = self.update_deal(deal_id, company_id=company_id, value=total)
        deal.has_products = True
        deal.mrr, deal.arr, deal.acv = (mrr, mrr * 12, mrr * 12) if mrr is not None else (None, None, None)
        return deal

    def add_lead(self, title: str, *, company_id: int | None = None, **body: Any) -> Lead:
        """Add a lead; more keys are those of the v1 body, custom fields flat."""
        answer = self._do(leads.create_lead, {"title": title, **body}, company_id=company_id)
        lead = self.company(company_id).leads[answer.body["data"]["id"]]
        lead.origin, lead.source_name = "ManuallyCreated", "Manually created"
        return lead

    def update_lead(self, lead_id: str, *, company_id: int | None = None, **body: Any) -> Lead:
        """Change a lead."""
        self._do(leads.update_lead, body, company_id=company_id, id=lead_id)
        return self.company(company_id).leads[lead_id]

    def archive_lead(self, lead_id: str, *, company_id: int | None = None, archived: bool = True) -> Lead:
        """Archive a lead, or bring it back."""
        return self.update_lead(lead_id, company_id=company_id, is_archived=archived)

    def delete_lead(self, lead_id: str, *, company_id: int | None = None) -> None:
        """Delete a lead."""
        self._do(leads.delete_lead, company_id=company_id, id=lead_id)

    def convert_lead(self, lead_id: str, stage_id: int | None = None, *, company_id: int | None = None) -> Deal:
        """Convert a lead to a deal on the vendor's screen, at once."""
        company = self.company(company_id)
        body = {} if stage_id is None else {"stage_id": stage_id}
        stage = deals.stage_of(company, body)
        job = conversion.start(self.state, company, company.leads[lead_id], stage, next(iter(company.users)), "app")
        self.work()
        assert job.deal_id is not None
        return company.deals[job.deal_id]

    def fail_conversion(self, conversion_id: str, status: str = "failed") -> None:
        """Let a conversion that is not done end as ``failed`` or ``rejected``; the lead stays."""
        for company in self.state.companies.values():
            if conversion_id in company.conversions:
                company.conversions[conversion_id].status = status

    def add_note(self, content: str, *, company_id: int | None = None, **links: Any) -> Note:
        """Add a note to ``lead_id``, ``deal_id``, ``person_id`` or ``org_id``."""
        answer = self._do(notes.create_note, {"content": content, **links}, company_id=company_id)
        return self.company(company_id).notes[answer.body["data"]["id"]]

    # Tokens and the app

    def install(self, user_id: int | None = None) -> Json:
        """Install the app for a user without a browser and return the answer of the token endpoint."""
        user = self.user(user_id)
        self.oauth.callback_url = self.oauth.callback_url or "https://gateway.test/callback"
        code = self.oauth.issue_code(user)
        form = f"grant_type=authorization_code&code={code}&redirect_uri={self.oauth.callback_url}"
        company, answer = self.oauth.token(_basic(self.client_id, self.client_secret), form.encode())
        return answer | {"api_domain": self.api_domain(company)}

    def marketplace_install(self, user_id: int | None = None) -> str:
        """Return the URL that a Marketplace install opens at the app: its callback with a code and no state."""
        return self.oauth.marketplace_url(self.user(user_id))

    async def uninstall(self, user_id: int | None = None, *, ids_as_text: bool = False) -> int | None:
        """Uninstall the app for a user, as a customer does: tokens die, webhooks go, the app's callback is told.

        Args:
            user_id: Whose installation ends.
            ids_as_text: Sends ids as strings; their type is unconfirmed.

        Returns:
            The status of the callback's answer, which the vendor does not read; None when there was none.
        """
        user = self.user(user_id)
        for installation in self.state.installations:
            if installation.user_id == user.id:
                self.oauth.remove_installations(installation)
        body: Json = {
            "client_id": self.client_id,
            "company_id": str(user.company_id) if ids_as_text else user.company_id,
            "user_id": str(user.id) if ids_as_text else user.id,
            "timestamp": rfc3339(self.state.now()),
        }
        if self.oauth.callback_url is None:
            return None
        return await self.send_uninstall(self.oauth.callback_url, body)

    def expire_tokens(self, user_id: int | None = None) -> int:
        """Let the access tokens of a user, or all, expire now; refresh tokens stay. Returns how many."""
        hit = [
            token
            for token in self.state.access_tokens.values()
            if user_id in {None, token.installation.user_id} and token.expires > self.state.now()
        ]
        for token in hit:
            token.expires = self.state.now()
        return len(hit)

    def kill_refresh_token(self, user_id: int | None = None) -> int:
        """Let the refresh tokens of a user, or all, be invalid from now on; access tokens stay. Returns how many."""
        hit = [one for one in self.state.refresh_tokens.values() if user_id in {None, one.installation.user_id}]
        for token in hit:
            token.is_revoked = True
        return len(hit)

    def revoke_scope(self, scope: str, user_id: int | None = None) -> None:
        """Take a scope away from installations and from the app."""
        self.oauth.scopes.discard(scope)
        for installation in self.state.installations:
            if user_id in {None, installation.user_id}:
                installation.scopes.discard(scope)

    def grant_scope(self, scope: str) -> None:
        """Add a scope to the app; installations get it with their next authorisation only."""
        self.oauth.scopes.add(scope)

    # Limits

    def spend_tokens(self, amount: int | None = None, *, company_id: int | None = None) -> int:
        """Spend daily tokens of a company as others would; all of them by default. Returns what is left."""
        company = self.company(company_id)
        day = self.state.now().date().isoformat()
        if company.budget_day != day:
            company.budget_day, company.tokens_used = day, 0
        budget = daily_budget(company)
        company.tokens_used = min(budget, company.tokens_used + (budget if amount is None else amount))
        return budget - company.tokens_used

    def close_company(self, *, company_id: int | None = None, is_open: bool = False) -> None:
        """Let a company's trial end: every call is answered 402. ``is_open=True`` takes it back."""
        self.company(company_id).is_open = is_open

    # Webhooks

    async def deliver_webhooks(self) -> list[Attempt]:
        """Send all webhooks that are due by the sandbox's clock and return the attempts."""
        self.work()
        return await self.outbox.deliver()

    async def redeliver(self, number: int = -1) -> Attempt:
        """Send a webhook of the log once more, the last one by default."""
        return await self.outbox.redeliver(self.outbox.log[number])

    def drop_webhooks(self, n: int = 1) -> None:
        """Lose the next ``n`` events without a trace."""
        self.outbox.drop_next += n

    def webhook_chaos(self, *, copies: int = 1, newest_first: bool = False) -> None:
        """Send each webhook several times, or in reverse order: neither once nor order is promised."""
        self.outbox.copies, self.outbox.newest_first = copies, newest_first

    def delete_subscriptions(self) -> int:
        """Remove all subscriptions as the vendor does after three bad days. Returns how many."""
        alive = [one for one in self.state.subscriptions.values() if one.remove_time is None]
        for one in alive:
            self.outbox.remove(one, "no successful delivery for 3 days")
        return len(alive)

    def subscriptions(self) -> list[Subscription]:
        """List living subscriptions."""
        return [one for one in self.state.subscriptions.values() if one.remove_time is None]

    def webhooks(self) -> list[Attempt]:
        """Return the log of sent webhooks."""
        return self.outbox.log

    # Looking

    def requests(
        self, *, method: str | None = None, path: str | None = None, body_contains: str | None = None
    ) -> list[RequestEntry]:
        """Return the request log: calls of this method, whose path ends like this, whose body holds this text."""
        return [
            entry
            for entry in self.front.log
            if method in {None, entry.method}
            and (path is None or entry.path.endswith(path))
            and (body_contains is None or body_contains in str(entry.body))
        ]

    def tokens_spent(self) -> int:
        """Sum up the token cost of all logged calls."""
        return sum(entry.cost for entry in self.front.log)

    def clear_log(self) -> None:
        """Forget logged requests and webhooks."""
        self.front.log.clear()
        self.outbox.log.clear()

    def snapshot(self, *, company_id: int | None = None) -> Json:
        """Return all living records of a company."""
        found: Json = {"person": [], "deal": [], "lead": []}
        for record in records_of(self.company(company_id)):
            if not record.is_deleted:
                found[type(record).__name__.lower()].append(record)
        return found | {"note": list(self.company(company_id).notes.values())}

    # What the others stand on

    def company(self, company_id: int | None = None) -> Company:
        """Return a company, the first by default."""
        return self.state.only_company() if company_id is None else self.state.companies[company_id]

    def user(self, user_id: int | None = None) -> User:
        """Return a user, the first by default."""
        return next(iter(self.state.users.values())) if user_id is None else self.state.users[user_id]

    def _field(self, code: str, company_id: int | None) -> FieldDefinition:
        return next(one for one in self.company(company_id).fields if one.code == code)

    def _do(self, handler: Handler, body: Json | None = None, *, company_id: int | None = None, **path: Any) -> Answer:
        company = self.company(company_id)
        user = next(iter(company.users.values()))
        words = {name: str(value) for name, value in path.items()}
        return handler(Call(self, company, user, "", words, {}, body, source="app"))


def _basic(user: str, password: str) -> str:

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


COMMANDS = frozenset(name for name in {**vars(FaultControls), **vars(Controls)} if not name.startswith("_")) - {
    "company",
    "front",
    "user",
}
