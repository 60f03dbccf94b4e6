"""The sandbox's part of ``gateway demo``: allow the app, then convert a lead and win its deal."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway_pipedrive.sandbox.app import Sandbox, create_sandbox


class Story:
    """A seeded company whose seller wins a referred customer."""

    title = "Pipedrive: a lead becomes a deal, and the deal is won"
    account: Mapping[str, str] = {"currency": "EUR", "country": "DE"}
    phone = "030 123456"

    def __init__(self, base_url: str, callback_url: str) -> None:
        self._base_url = base_url
        self._sandbox: Sandbox = create_sandbox(base_url=base_url, callback_url=callback_url, auto_deliver=True)
        self._told_calls = 0
        self._told_webhooks = 0
        self.app = self._sandbox.app

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that point it at this sandbox."""
        return {
            "GATEWAY_PIPEDRIVE_CLIENT_ID": self._sandbox.client_id,
            "GATEWAY_PIPEDRIVE_CLIENT_SECRET": self._sandbox.client_secret,
            "GATEWAY_PIPEDRIVE_OAUTH_URL": self._base_url,
            "GATEWAY_PIPEDRIVE_API_URL": self._base_url,
        }

    async def connect(self, next_step: Mapping[str, Any], browser: httpx.AsyncClient) -> None:
        """Open the authorisation page, click *Allow and Install*, and go back to the gateway."""
        page = await browser.get(f"{next_step['url']}&decision=allow")
        back = await browser.get(page.headers["location"])
        if back.is_error:
            raise RuntimeError(f"the gateway refused the authorisation: {back.text}")

    def fill_in(self, step: str) -> Mapping[str, str]:
        """Pipedrive asks for nothing to be filled in."""
        raise NotImplementedError(f"Pipedrive is connected by OAuth alone, there is no form {step!r}")

    def let_in(self) -> str:
        """Pipedrive needs nobody's approval."""
        raise NotImplementedError("Pipedrive is connected without an approval")

    def set_app_url(self, url: str) -> None:
        """Pipedrive tells of an uninstall at the callback URL, and of changes at a URL for each connection."""

    def setups(self) -> dict[str, dict[str, Any]]:
        """Return the setup to save for each role: leads for friends, contacts for those who share."""
        return {
            "referrer": {"target": "contact", "use_suggested": True},
            "referred": {
                "target": "lead",
                "use_suggested": True,
                "qualification": {"trigger": "deal_won", "reverse": "until_issued"},
                "sale_value": {"record_kind": "deal", "field": "value"},
            },
        }

    async def customer_buys(self, email: str, value: int) -> AsyncIterator[str]:
        """Convert the lead of this e-mail, move its deal on, set its value and win it."""
        company = self._sandbox.company()
        records = self._sandbox.snapshot()
        people = {one.id for one in records["person"] if email in {entry["value"].lower() for entry in one.emails}}
        lead = next(one for one in records["lead"] if one.person_id in people)
        stages = company.stages_of(company.default_pipeline().id)
        deal = self._sandbox.convert_lead(lead.id)
        yield f"{company.name}'s seller converts the lead “{lead.title}” into deal {deal.id}"
        self._sandbox.move_deal(deal.id, stages[2].id)
        yield f"the deal moves to the stage “{stages[2].name}”"
        self._sandbox.update_deal(deal.id, value=value, currency="EUR")
        self._sandbox.win_deal(deal.id)
        yield f"the deal is won at {value} EUR"

    def fill_contacts(self, number: int) -> str:
        """Put more customers into the CRM, and say so."""
        for one in range(1, number + 1):
            self._sandbox.add_person(f"Customer {one}", f"customer{one}@customer.test")
        return f"{number} more customers are in the CRM, one of all without an e-mail address"

    def contact_shows(self, email: str, label: str) -> str | None:
        """Return what people see in a custom field of a contact."""
        company = self._sandbox.company()
        code = next(one.code for one in company.custom_fields("person") if one.name == label)
        for one in company.persons.values():
            if email in {entry["value"].lower() for entry in one.emails}:
                shown = one.custom_fields.get(code)
                return None if shown is None else str(shown)
        return None

    def calls(self) -> list[str]:
        """Return the calls taken since the last time."""
        new, self._told_calls = self._sandbox.front.log[self._told_calls :], len(self._sandbox.front.log)
        return [
            f"{one.method} {one.path} → {one.status}" + (f"  ({one.cost} tokens)" if one.cost else "")
            for one in new
            if not urlsplit(one.path).path.startswith("/_control")
        ]

    def webhooks(self) -> list[str]:
        """Return the webhooks sent since the last time."""
        log = self._sandbox.webhooks()
        new, self._told_webhooks = log[self._told_webhooks :], len(log)
        return [f"{_names(one.payload['meta'])} → {one.status}" for one in new]


def _names(meta: Mapping[str, Any]) -> str:
    return f"{meta['action']} {meta['entity']} {meta['entity_id']}"


def story(base_url: str, callback_url: str) -> Story:
    """Return the story of this sandbox, served under ``base_url``."""
    return Story(base_url, callback_url)
