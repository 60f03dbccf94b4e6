"""In a language that has every text of the catalogues, no page says a sentence in English, with values or without."""

from pathlib import Path

import pytest

import gateway_pipedrive
import gateway_servicetitan
import gateway_zapier
from gateway.console import catalogue, texts
from gateway_pipedrive.manifest import MANIFEST as PIPEDRIVE
from gateway_servicetitan.manifest import MANIFEST as SERVICETITAN
from gateway_zapier.manifest import MANIFEST as ZAPIER

from ..flows.conftest import World, make_world  # noqa: TID252 - folders of tests are no packages
from .browsing import Browser
from .translating import accent, english_in

__all__ = ["make_world"]  # the fixture of the flow tests

PLUGINS = ((gateway_pipedrive, PIPEDRIVE), (gateway_servicetitan, SERVICETITAN), (gateway_zapier, ZAPIER))
DATA = ("Acme", "Spring", "Fiona", "Friend", "Rita", "Referrer", "How can we help?", "support@referrals.example")
VENDOR = ("provided dataset is not valid", "is not allowed")
"""What the CRM answered, in its own words."""

REWARD = {"key": "thanks", "kind": "fixed", "amount": "50", "currency": "EUR", "hold_days": 3}


@pytest.fixture
def known(tmp_path, monkeypatch) -> set[str]:
    """Catalogues that accent every vowel; return the English texts."""
    found = accent(tmp_path, "console", catalogue.console_texts())
    for module, manifest in PLUGINS:
        folder = Path(str(module.__file__)).parent
        found |= accent(tmp_path, manifest.key, catalogue.plugin_texts(manifest, folder))
    monkeypatch.setattr(texts, "HERE", tmp_path)
    monkeypatch.setattr(texts, "_plugin_folder", lambda key: tmp_path)
    return found


@pytest.fixture
async def world(make_world) -> World:
    world = await make_world()
    await world.account(locale="de-DE")
    await world.campaign(rewards=[REWARD], fields=[{"key": "help", "label": "How can we help?"}])
    return world


@pytest.fixture
async def browser(world):
    browser = Browser(world.app)
    page = await browser.go((await world.call("POST", "/v1/accounts/acme/sessions"))["url"])
    await browser.send(page.forms[0], None)
    yield browser
    await browser.close()


async def field_names(world) -> set[str]:
    """Connect the CRM and return what it calls its fields."""
    await world.connect()
    (row,) = (await world.call("GET", "/v1/accounts/acme/connections"))["data"]
    found = set()
    for kind in PIPEDRIVE.record_kinds:
        answer = await world.call("GET", f"/v1/connections/{row['id']}/fields/{kind.key}")
        found |= {one["label"] for one in answer["data"]}
    return found


async def test_nothing_is_said_in_english_before_anything_is_connected(world, browser, known):
    await world.signup()
    faults = {}
    for path in ("campaigns", "campaigns/spring/integration", "campaigns/spring/promote", "campaigns/spring/rewards",
                 "campaigns/spring/sync", "people", "people?q=nobody", "rewards", "activity", "activity/deliveries",
                 "settings/integrations"):  # fmt: skip
        page = await browser.go(f"/console/a/acme/{path}")
        if found := english_in(page.answer.text, known, DATA):
            faults[path] = found
    for path in ("people/per_nobody", "campaigns/none/integration"):
        page = await browser.go(f"/console/a/acme/{path}", expect=404)
        if found := english_in(page.answer.text, known, DATA):
            faults[path] = found
    assert faults == {}


async def test_nothing_is_said_in_english_of_a_referral_from_setup_to_reward(world, browser, known):
    faults: dict[str, list[str]] = {}

    def read(name: str) -> None:
        if found := english_in(browser.page.answer.text, known, DATA + VENDOR, names):
            faults[name] = found

    names = await field_names(world)
    await browser.go("/console/a/acme/campaigns/spring/setups/referred")
    form = next(one for one in browser.page.forms if one.action.endswith("/setups/referred"))
    for name, action in (("refused setup", "save"), ("suggested setup", "suggest"), ("preview", "preview")):
        await browser.send(form, None, 422 if action == "save" else 200, target="lead", action=action)
        read(name)
        form = next(one for one in browser.page.forms if one.action.endswith("/setups/referred"))
    await world.setup(qualification={"trigger": "deal_won"}, target="deal")
    rita = {"email": "rita@example.com", "first_name": "Rita", "last_name": "Referrer"}
    await world.signup(role="referrer", person=rita)
    fiona = (await world.signup(referrer={"email": "rita@example.com"}))["person"]
    await world.drain()
    await browser.go(f"/console/a/acme/people/{fiona}")
    read("person")
    body = {"qualified": True, "sale_value": {"amount": "10", "currency": "EUR"}, "reason": "Paid"}
    await world.call("POST", f"/v1/accounts/acme/people/{fiona}/qualification", body)
    await world.call("POST", "/v1/accounts/acme/campaigns/spring/syncs", {"use_suggested": True, "ongoing": True})
    await world.drain()
    for path in ("campaigns", "campaigns/spring/integration", "campaigns/spring/setups/referred",
                 "campaigns/spring/promote", "campaigns/spring/rewards", "people", f"people/{fiona}", "rewards",
                 "activity", "activity/deliveries", "settings/integrations"):  # fmt: skip
        await browser.go(f"/console/a/acme/{path}")
        read(path)
    reward = (await world.call("GET", "/v1/accounts/acme/rewards"))["data"][0]["id"]
    await browser.go(f"/console/a/acme/rewards/{reward}")
    read("reward")
    await browser.go("/console/a/acme/activity/deliveries")
    delivery = next(href for _, href in browser.page.links if "/deliveries/" in href)
    await browser.go(delivery)
    read("delivery")
    await browser.go("/console/a/acme/campaigns/spring/sync")
    read("sync")
    assert faults == {}


async def test_nothing_is_said_in_english_of_what_went_wrong(world, browser, known):
    faults: dict[str, list[str]] = {}

    def read(name: str) -> None:
        if found := english_in(browser.page.answer.text, known, DATA + VENDOR, names):
            faults[name] = found

    names = await field_names(world)
    await world.setup()
    setup = await world.call("GET", "/v1/accounts/acme/campaigns/spring/setups/referred")
    used = next(one for one in setup["mapping"] if one["source"] == "person.code")
    world.sandbox.delete_field(used["field"])
    await world.signup()
    await world.drain()
    for path in ("campaigns", "campaigns/spring/integration", "campaigns/spring/setups/referred", "activity"):
        await browser.go(f"/console/a/acme/{path}")
        read(path)
    person = (await world.call("GET", "/v1/accounts/acme/people"))["data"][0]["id"]
    await browser.go(f"/console/a/acme/people/{person}")
    read("person")
    form = next(one for one in browser.page.forms if one.action.endswith("/qualification"))
    await browser.send(form, None, 422, decision="qualify", amount="much")
    read("no number")
    await browser.send(form, None, 422, decision="qualify", amount="10", currency="XXQ")
    read("no currency")
    await browser.go("/console/a/acme/settings/integrations")
    leave = next(href for _, href in browser.page.links if href.endswith("/disconnect"))
    await browser.go(leave)
    read("disconnect")
    form = next(one for one in browser.page.forms if one.action.endswith("/disconnect"))
    await browser.send(form, None)
    read("receipt")
    assert faults == {}
