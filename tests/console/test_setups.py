"""A campaign's setup in the console: what is offered, what is wrong and where, and that nothing typed is lost."""

from datetime import date, timedelta
from itertools import pairwise

import pytest

from gateway.app import create_app
from gateway.console import setup_form
from gateway.console.charts import RIGHT, SMALL, WIDTH, draw, nice_top
from gateway.console.forms import Form
from gateway.errors import Refused
from gateway.flows import access
from gateway.flows.overview import Day
from gateway_schemas.campaign import SetupProblem

from ..flows.toy_crm import MANIFEST, open_toy  # noqa: TID252 - folders of tests are no packages
from .browsing import PUBLIC, Browser

SETUP = "/console/a/acme/campaigns/spring/setups/referred"
REWARDS = "/console/a/acme/campaigns/spring/rewards"


@pytest.fixture
async def toy(database_url, clock):
    async with open_toy(database_url, clock) as toy:
        await toy.account()
        await toy.connection()
        await toy.campaign(fields=[{"key": "size", "label": "Size of the roof", "type": "number"}])
        yield toy


@pytest.fixture
async def browser(toy):
    browser = Browser(create_app(toy.services))
    link = (await access.make_session_link(toy.services, "acme")).url
    await browser.go(link.replace("https://gateway.test", PUBLIC))
    await browser.press("Open the console")
    yield browser
    await browser.close()


def row_of(page, place=None, source=None):
    """Return the number of the row with this field or source."""
    form = page.form("Save")
    for name, value in form.fields:
        number = name.split(".")[1] if name.startswith("row.") else None
        if number and ((name.endswith(".place") and value == place) or (name.endswith(".source") and value == source)):
            return number
    raise AssertionError(form.fields)


async def suggested(browser):
    await browser.go(SETUP)
    return await browser.press("Use the suggested mapping")


async def test_the_suggested_mapping_is_filled_in_and_saved(toy, browser):
    page = await suggested(browser)
    form = page.form("Save")
    assert form.value(f"row.{row_of(page, 'contact:name')}.source") == "person.full_name"
    assert form.value(f"row.{row_of(page, source='referrer.full_name')}.place") == "lead:f_ref"
    page = await browser.press("Save")
    assert "Saved." in page.text
    saved = await toy.call("GET", "/accounts/acme/campaigns/spring/setups/referred")
    assert {(one["field"], one["source"]) for one in saved["mapping"]} >= {("name", "person.full_name")}
    assert [one["source"] for one in saved["referrer_fields"]] == ["referrer.full_name"]


async def test_what_is_missing_is_told_beside_its_row(toy, browser):
    await browser.go(SETUP)
    page = await browser.press("Save", expect=422)
    assert "Not saved yet: 2 things need your attention." in page.text
    assert "Map Name of Contact." in page.text
    assert page.answer.text.count('class="problem"') == 2


async def test_a_field_deleted_between_picking_and_saving_is_told_and_all_else_is_kept(toy, browser):
    page = await suggested(browser)
    number = row_of(page, "")
    toy.vendor.remove_field("lead", "f_ref")
    values = {f"row.{number}.place": "lead:f_size", f"row.{number}.source": "person.fields.size", "trigger": ""}
    page = await browser.send(page.form("Save"), "Save", 422, **values)
    assert "has no field 'f_ref'" in page.text
    assert "Not there any more" in page.answer.text
    assert row_of(page, "lead:f_size") is not None
    assert page.form("Save").value(f"row.{row_of(page, 'lead:f_size')}.source") == "person.fields.size"


async def test_while_the_crm_is_down_the_page_says_so_and_keeps_what_was_typed(toy, browser):
    page = await suggested(browser)
    toy.vendor.status = 503
    page = await browser.press("Save", expect=422)
    assert "What you typed is kept." in page.text
    assert page.form("Save").value(f"row.{row_of(page, 'contact:name')}.source") == "person.full_name"
    page = await browser.press("Refresh")
    assert "could not be read now. The lists are as of" in page.text
    toy.vendor.status = None
    assert "Saved." in (await browser.press("Save")).text


async def test_lists_that_were_never_read_are_missing_and_the_form_still_shows(toy, browser):
    toy.vendor.status = 503
    page = await browser.go(SETUP)
    assert "could not be read now, so some lists are missing" in page.text
    assert page.has_button("Save")


async def test_a_new_field_of_the_crm_comes_with_refresh(toy, browser):
    await browser.go(SETUP)
    from gateway_schemas.records import Field

    toy.vendor.fields["lead"].append(Field(key="f_new", label="Brand new", type="text", custom=True))
    page = await browser.go(SETUP)
    assert "Brand new" not in page.answer.text
    page = await browser.press("Refresh")
    assert "Brand new" in page.answer.text


async def test_a_missing_custom_field_is_made_by_a_click(toy, browser):
    toy.vendor.remove_field("lead", "f_ref")
    page = await suggested(browser)
    page = await browser.press("Create") if page.has_button("Create") else page
    assert any(one.label == "Referrer" for one in toy.vendor.fields["lead"])
    assert "Saved." in (await browser.press("Save")).text


async def test_the_rule_shows_only_what_fits_and_its_values_are_needed(toy, browser):
    await suggested(browser)
    page = await browser.press("Show the fields for these choices", trigger="stage")
    form = page.form("Save")
    assert form.options["parameter.board"] == ["", "b"]
    page = await browser.press("Save", 422, **{"parameter.board": "b"})
    assert "Choose a value for Stage." in page.text
    page = await browser.press("Save", **{"parameter.stage": "2"})
    saved = await toy.call("GET", "/accounts/acme/campaigns/spring/setups/referred")
    assert saved["qualification"]["parameters"] == {"board": "b", "stage": "2"}


async def test_a_default_is_checked_by_the_type_of_its_field(toy, browser):
    page = await suggested(browser)
    values = {"default.0.place": "lead:f_date", "default.0.value": "tomorrow"}
    page = await browser.send(page.form("Save"), "Save", 422, **values)
    assert page.form("Save").value("default.0.value") == "tomorrow"
    page = await browser.press("Save", **{"default.0.value": "2026-12-24"})
    saved = await toy.call("GET", "/accounts/acme/campaigns/spring/setups/referred")
    assert saved["defaults"] == [{"record_kind": "lead", "field": "f_date", "value": "2026-12-24"}]


async def test_the_preview_shows_what_would_be_written_and_writes_nothing(toy, browser):
    await suggested(browser)
    page = await browser.press("Preview")
    assert "Toy CRM has no contact with this e-mail; a new one is made." in page.text
    assert "sample.person@example.com" in page.text
    assert toy.vendor.writes == []


async def test_setups_are_copied_to_another_campaign_and_what_does_not_fit_is_shown(toy, browser):
    page = await suggested(browser)
    number = row_of(page, "")
    values = {f"row.{number}.place": "lead:f_size", f"row.{number}.source": "person.fields.size"}
    await browser.send(page.form("Save"), "Save", **values)
    await toy.campaign("autumn", name="Autumn")
    await browser.go("/console/a/acme/campaigns/autumn/integration")
    page = await browser.press("Copy setups")
    assert "The campaign declares no such form field" in page.text
    await toy.campaign("autumn", name="Autumn", fields=[{"key": "size", "label": "Size", "type": "number"}])
    await browser.go("/console/a/acme/campaigns/autumn/integration")
    page = await browser.press("Copy setups")
    assert "The setups were copied." in page.text


async def test_a_removed_setup_is_gone(toy, browser):
    await suggested(browser)
    await browser.press("Save")
    await browser.go(SETUP)
    page = await browser.press("Remove this setup")
    assert "Removed." in page.text
    await toy.call("GET", "/accounts/acme/campaigns/spring/setups/referred", expect=404)


async def test_without_a_connection_the_page_says_what_comes_first(toy, browser):
    await toy.write(lambda conn: _disconnect(conn))
    page = await browser.go(SETUP)
    assert "Connect a CRM first" in page.text


async def _disconnect(conn):
    from gateway.storage import connections

    await connections.change(conn, "con_1", state="disconnected")


@pytest.mark.parametrize("path", ["setups/nobody", "nothing", "../bravo"])
async def test_paths_that_are_none_say_so(toy, browser, path):
    await browser.go(f"/console/a/acme/campaigns/spring/{path}", expect=404)


async def test_rewards_are_saved_and_wrong_amounts_are_told(toy, browser):
    await browser.go("/console/a/acme/campaigns/spring/rewards")
    wrong = {"rule.0.kind": "fixed", "rule.0.amount": "ten", "rule.0.currency": "EUR"}
    page = await browser.press("Save", 422, **wrong)
    assert page.form("Save").value("rule.0.amount") == "ten"
    page = await browser.press("Save", **{"rule.0.amount": "10.00"})
    rules = (await toy.call("GET", "/accounts/acme/campaigns/spring"))["rewards"]
    assert [(one["kind"], one["amount"], one["currency"]) for one in rules] == [("fixed", "10.00", "EUR")]


# --- pages that others have saved over ---------------------------------------------------------------------


STALE = "Somebody saved this after you opened the page."


async def test_rewards_of_a_stale_page_do_not_wipe_what_another_window_saved(toy, browser):
    await browser.go(REWARDS)
    stale = browser.page
    await toy.campaign(name="Renamed", rewards=[{"key": "r", "kind": "fixed", "amount": "5.00", "currency": "EUR"}])
    browser.page = stale
    mine = {"rule.0.kind": "percentage", "rule.0.percent": "7"}
    page = await browser.press("Save", 409, **mine)
    assert STALE in page.text
    assert page.form("Add a reward").value("rule.0.percent") == "7"
    saved = await toy.call("GET", "/accounts/acme/campaigns/spring")
    assert [one["key"] for one in saved["rewards"]] == ["r"]
    page = await browser.send(page.form("Add a reward"), "Save")  # knowingly
    saved = await toy.call("GET", "/accounts/acme/campaigns/spring")
    assert [(one["kind"], one["percent"]) for one in saved["rewards"]] == [("percentage", "7")]
    assert saved["name"] == "Renamed"


async def test_a_setup_form_that_is_stale_does_not_take_a_rule_away(toy, browser):
    await suggested(browser)
    await browser.press("Save")
    await browser.go(SETUP)
    path = "/accounts/acme/campaigns/spring/setups/referred"
    saved = await toy.call("GET", path)
    given = {name: saved[name] for name in ("target", "target_options", "mapping", "referrer_fields", "duplicates")}
    await toy.call(
        "PUT", path, {**given, "qualification": {"trigger": "stage", "parameters": {"board": "b", "stage": "2"}}}
    )
    page = await browser.press("Save", 409)
    assert STALE in page.text
    assert (await toy.call("GET", path))["qualification"]["trigger"] == "stage"
    await browser.press("Save")
    assert (await toy.call("GET", path))["qualification"] is None


async def test_a_sale_value_of_a_stale_page_is_not_taken(toy, browser):
    await suggested(browser)
    await browser.press("Save")
    page = await browser.go(REWARDS)
    form = page.form("Refresh")
    one = form.options["sale"][1]
    await browser.send(form, "Save", sale=one)
    page = await browser.send(form, "Save", 409, sale="")
    assert STALE in page.text
    saved = (await toy.call("GET", "/accounts/acme/campaigns/spring/setups/referred"))["sale_value"]
    assert f"{saved['record_kind']}:{saved['field']}" == one


# --- the form itself ---------------------------------------------------------------------------------------


def test_rows_of_the_manifest_come_first_then_others_then_an_empty_one():
    typed = setup_form.Typed(target="lead", rows=[("mapping", "contact:notes", "person.phone")])
    rows = setup_form.rows_for(typed, MANIFEST.targets[0], "referred", {}, {}, {})
    assert [row.kind for row in rows if row.part == "mapping"] == ["fixed", "fixed", "custom", "free", "free"]
    assert [row.kind for row in rows if row.part == "referrer_fields"] == ["custom", "free"]


def test_problems_stand_beside_the_rows_that_they_name():
    typed = setup_form.Typed(
        target="lead",
        rows=[("mapping", "", ""), ("mapping", "contact:name", "x"), ("mapping", "lead:f_code", "person.code")],
    )
    rows = setup_form.rows_for(typed, MANIFEST.targets[0], "referred", {}, {}, {})
    problems = [
        SetupProblem(field="mapping[0].source", message="first", code="x"),
        SetupProblem(field="mapping[1].field", message="second", code="x"),
        SetupProblem(field="mapping.contact.email", message="third", code="x"),
        SetupProblem(field="target_options.stage", message="fourth", code="x"),
        SetupProblem(field="something new", message="fifth", code="x"),
    ]
    left = setup_form.place_errors(problems, typed, rows, [])
    assert {row.label: row.errors for row in rows if row.errors} == {
        "Name": ["first"], "Referral Code": ["second"], "Email": ["third"],
    }  # fmt: skip
    assert left == {"option.stage": ["fourth"], "": ["fifth"]}


def test_what_was_sent_is_read_in_the_order_of_the_page():
    form = Form([
        ("target", "lead"), ("row.10.part", "mapping"), ("row.10.place", "b:2"), ("row.10.source", "s"),
        ("row.2.part", "referrer_fields"), ("row.2.place", "a:1"), ("row.2.source", "t"), ("row.x.place", "no"),
        ("spare", "999"), ("option.stage", " 3 "), ("reverse", "on"),
    ])  # fmt: skip
    typed = setup_form.read(form)
    assert typed.rows == [("referrer_fields", "a:1", "t"), ("mapping", "b:2", "s")]
    assert (typed.spare, typed.target_options, typed.reverse) == (20, {"stage": "3"}, True)


@pytest.mark.parametrize(
    "names",
    [[f"row.{n}.place" for n in range(201)], [f"row.{'9' * 5000}.place"], [f"default.{n}.place" for n in range(201)]],
)
def test_more_rows_than_a_page_has_are_refused(names):
    with pytest.raises(Refused, match="invalid_input"):
        setup_form.read(Form([(name, "x") for name in names]))


@pytest.mark.parametrize(("value", "top"), [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (99, 100), (101, 200)])
def test_the_scale_of_the_chart_ends_at_a_round_number(value, top):
    assert nice_top(value) == top


@pytest.mark.parametrize("width", [WIDTH, SMALL])
def test_the_chart_keeps_to_its_width_and_its_days_do_not_touch(width):
    days = [
        Day(day=date(2026, 11, 1) + timedelta(days=number), signups=number, qualified=1, failed=2)
        for number in range(30)
    ]
    chart = draw(days, ("signups", "qualified", "failed"), width)
    assert chart.width == width
    assert max(bar.x + bar.width for bar in chart.bars) <= width - RIGHT
    places = [x for x, _ in chart.ticks]
    assert min(later - x for x, later in pairwise(places)) > 38  # "26.11." in 11 px, and a gap
