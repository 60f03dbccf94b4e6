"""Campaigns, field lists and setups over a toy CRM: what people can save, and what keeps them from it."""

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import select

from gateway.flows.campaigns import attention
from gateway.flows.campaigns.vendor_lists import MAX_AGE
from gateway.sdk.errors import MappingBroken
from gateway.storage import campaigns, connections, tasks
from gateway.storage.tables import events
from gateway.storage.tables import tasks as waiting
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.records import Field, Option

from .toy_crm import open_toy

SETUP = "/accounts/acme/campaigns/spring/setups/referred"
BODY = {"target": "lead", "use_suggested": True}
BROKEN = [SetupProblem(field="mapping[2].field", message="f_code is gone", code="mapping_broken")]
RULE = {"trigger": "stage", "parameters": {"board": "b", "stage": "2"}}


@pytest.fixture
async def toy(database_url, clock):
    async with open_toy(database_url, clock) as opened:
        yield opened


async def events_of(toy, kind):
    async with toy.services.database.read() as conn:
        return [row.data for row in await conn.execute(select(events).where(events.c.type == kind))]


async def parked(toy, setup_id, count=1):
    """Park tasks as pushes of a broken setup do."""
    now = toy.clock.now()
    new = [tasks.NewTask(kind="unheard_of", args={}, lane="elsewhere", due_at=now) for _ in range(count)]
    await toy.write(tasks.insert_tasks, new, now)
    await toy.write(tasks.park_available, attention.park_cause(setup_id), "broken", ids=[one.id for one in new])
    return [one.id for one in new]


async def states(toy, ids):
    return {(await toy.read(tasks.get_task, one)).state for one in ids}


# --- campaigns -------------------------------------------------------------------------------------


async def test_a_campaign_is_declared_changed_and_listed(toy):
    await toy.account()
    body = {"name": "Spring", "fields": [{"key": "size", "label": "Size", "type": "number"}],
            "rewards": [{"kind": "fixed", "amount": "10.50", "currency": "EUR"}]}  # fmt: skip
    first = await toy.call("PUT", "/accounts/acme/campaigns/spring", body, 201)
    assert (first["state"], first["rewards"][0]["amount"]) == ("draft", "10.50")
    toy.clock.advance(timedelta(minutes=1))
    assert await toy.call("PUT", "/accounts/acme/campaigns/spring", body, 200) == first
    live = await toy.call("PUT", "/accounts/acme/campaigns/spring", {**body, "state": "live"})
    assert (live["state"], live["created_at"]) == ("live", first["created_at"])
    assert live["updated_at"] > first["updated_at"]
    for name in ("autumn", "winter"):
        await toy.campaign(name)
    page = await toy.call("GET", "/accounts/acme/campaigns?limit=2")
    assert [one["id"] for one in page["data"]] == ["autumn", "spring"]
    rest = await toy.call("GET", f"/accounts/acme/campaigns?limit=2&cursor={page['next']}")
    assert ([one["id"] for one in rest["data"]], rest["next"]) == (["winter"], None)


async def test_a_wrong_campaign_is_refused_by_field(toy):
    await toy.account()
    path = "/accounts/acme/campaigns/spring"
    wrong = {"name": "Spring", "rewards": [{"kind": "percentage"}]}
    assert await toy.problems("PUT", path, wrong) == [("rewards[0].percent", "missing")]
    assert [field for field, _ in await toy.problems("PUT", path, {"name": "Spring", "colour": "red"})] == ["colour"]
    await toy.call("GET", path, expect=404)
    await toy.call("PUT", "/accounts/nobody/campaigns/spring", {"name": "Spring"}, 404)
    await toy.call("PUT", "/accounts/acme/campaigns/a%20b", {"name": "Spring"}, 422)
    await toy.call("GET", "/accounts/acme/campaigns?limit=201", expect=422)


# --- field lists -----------------------------------------------------------------------------------


async def test_lists_are_kept_for_a_while_and_read_anew_on_demand(toy):
    await toy.account()
    await toy.connection()
    first = await toy.call("GET", "/connections/con_1/fields/lead")
    assert not first["stale"]
    toy.vendor.fields["lead"].append(Field(key="f_new", label="New", type="text", custom=True))
    assert await toy.call("GET", "/connections/con_1/fields/lead") == first
    refreshed = await toy.call("GET", "/connections/con_1/fields/lead?refresh=true")
    assert refreshed["data"][-1]["key"] == "f_new"
    toy.vendor.remove_field("lead", "f_new")
    toy.clock.advance(MAX_AGE)
    assert await toy.call("GET", "/connections/con_1/fields/lead") != refreshed


async def test_options_are_read_below_their_parent(toy):
    await toy.account()
    await toy.connection()
    toy.vendor.options["stages"].append(Option(value="9", label="Other", parent="c"))
    everything = await toy.call("GET", "/connections/con_1/options/stages")
    below = await toy.call("GET", "/connections/con_1/options/stages?parent=b")
    assert [one["value"] for one in everything["data"]] == ["1", "2", "3", "9"]
    assert [one["value"] for one in below["data"]] == ["1", "2", "3"]
    assert await toy.problems("GET", "/connections/con_1/options/boards?parent=b") == [("parent", "invalid")]


async def test_an_unknown_kind_or_source_names_what_there_is(toy):
    await toy.account()
    await toy.connection()
    kind = await toy.call("GET", "/connections/con_1/fields/deal", expect=404)
    assert "contact, lead" in kind["detail"]
    source = await toy.call("GET", "/connections/con_1/options/colours", expect=404)
    assert "boards, stages" in source["detail"]
    await toy.call("GET", "/connections/con_9/fields/lead", expect=404)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_while_the_vendor_is_down_people_see_what_was_read_last(toy, status):
    await toy.account()
    await toy.connection()
    read = await toy.call("GET", "/connections/con_1/fields/lead")
    toy.vendor.status = status
    toy.clock.advance(timedelta(hours=3))
    stale = await toy.call("GET", "/connections/con_1/fields/lead?refresh=true")
    assert stale == {**read, "stale": True}
    refused = await toy.call("GET", "/connections/con_1/fields/contact", expect=503)
    assert refused["code"] == "vendor_unavailable"


async def test_refused_credentials_are_noted_and_the_old_list_is_shown(toy):
    await toy.account()
    await toy.connection()
    read = await toy.call("GET", "/connections/con_1/fields/lead")
    toy.vendor.status = 401
    assert (await toy.call("GET", "/connections/con_1/fields/lead?refresh=true")) == {**read, "stale": True}
    assert (await toy.read(connections.get, "con_1")).state == "needs_reauth"
    assert (await toy.call("GET", "/connections/con_1/fields/contact", expect=409))["code"] == "needs_reauth"
    assert len(await events_of(toy, "connection.needs_reauth")) == 1


async def test_another_accounts_connection_is_not_there(toy):
    await toy.account()
    await toy.account("other")
    await toy.connection()
    await toy.connection("con_2", account_id="other", identity="t2")
    await toy.campaign()
    await toy.call("PUT", SETUP, BODY | {"connection": "con_2"}, 404)


async def test_a_field_is_made_once_however_often_it_is_asked_for(toy):
    await toy.account()
    await toy.connection()
    before = await toy.call("GET", "/connections/con_1/fields/lead")
    path = "/connections/con_1/fields/lead"
    made = await toy.call("POST", path, {"label": "Referral Link", "type": "url"}, 201)
    assert await toy.call("POST", path, {"label": " referral link", "type": "url"}, 200) == made
    after = await toy.call("GET", path)
    assert len(after["data"]) == len(before["data"]) + 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"label": "Size", "type": "date"}, "label"),
        ({"label": "Kind of thing", "type": "option"}, "options"),
        ({"label": "Text", "options": ["a"]}, "options"),
        ({"label": "Text", "type": "other"}, "type"),
        ({"label": ""}, "label"),
        ({"label": "Text", "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_is_refused(toy, body, field):
    await toy.account()
    await toy.connection()
    assert [one for one, _ in await toy.problems("POST", "/connections/con_1/fields/lead", body)] == [field]
    assert toy.vendor.writes == []


# --- saving a setup --------------------------------------------------------------------------------


async def test_a_setup_is_saved_shown_changed_and_removed(toy):
    saved = await toy.ready(qualification=RULE)
    assert saved["state"] == "ready"
    assert [(one["field"], one["source"]) for one in saved["mapping"]] == [
        ("name", "person.full_name"),
        ("email", "person.email"),
        ("f_code", "person.code"),
    ]
    assert [one["field"] for one in saved["referrer_fields"]] == ["f_ref"]
    assert saved["duplicates"] == "fill_empty"
    assert await toy.call("GET", SETUP) == saved
    row = (await toy.read(campaigns.setups_of, "con_1"))[0]
    assert row.resolved.accepts == {"board": ["b"], "stage": ["2", "3"]}
    await toy.setup(duplicates="skip")
    (again,) = await toy.read(campaigns.setups_of, "con_1")
    assert (again.id, again.body.duplicates, again.body.qualification) == (row.id, "skip", None)
    await toy.call("DELETE", SETUP, expect=204)
    await toy.call("GET", SETUP, expect=404)
    await toy.call("DELETE", SETUP, expect=404)


async def test_a_setup_may_be_made_while_the_campaign_is_a_draft(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign(state="draft")
    assert (await toy.setup())["state"] == "ready"


@pytest.mark.parametrize(
    ("state", "code"),
    [("pending_approval", "not_connected"), ("needs_reauth", "needs_reauth"), ("disconnected", "not_connected")],
)
async def test_a_setup_needs_an_active_connection(toy, state, code):
    await toy.account()
    await toy.campaign()
    assert (await toy.setup(expect=409))["code"] == "not_connected"
    await toy.connection(state=state)
    assert (await toy.setup(expect=409))["code"] == code


async def test_an_automation_has_nothing_to_set_up(toy):
    await toy.account()
    await toy.campaign()
    await toy.connection("con_2", integration="helper", category="automation", identity="acme")
    assert (await toy.setup(connection="con_2", expect=409))["code"] == "not_supported"


async def test_a_setup_needs_its_campaign_and_a_known_role(toy):
    await toy.account()
    await toy.connection()
    await toy.call("PUT", SETUP, BODY, 404)
    await toy.call("PUT", "/accounts/acme/campaigns/spring/setups/friend", BODY, 404)
    await toy.call("GET", SETUP, expect=404)


async def test_every_wrong_part_is_named_at_once(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign()
    body = {
        "target": "lead",
        "target_options": {"stage": "7"},
        "mapping": [
            {"record_kind": "contact", "field": "name", "source": "person.full_name"},
            {"record_kind": "lead", "field": "gone", "source": "person.code"},
            {"record_kind": "lead", "field": "f_size", "source": "person.email"},
        ],
        "duplicates": "merge",
        "qualification": {"trigger": "stage", "parameters": {"stage": "7"}},
        "sale_value": {"record_kind": "lead", "field": "f_date"},
    }
    assert await toy.problems("PUT", SETUP, body) == [
        ("target_options.stage", "unknown_option"),
        ("duplicates", "unknown_policy"),
        ("qualification.parameters.stage", "unknown_option"),
        ("sale_value.field", "wrong_type"),
        ("mapping[1].field", "unknown_field"),
        ("mapping[2].field", "wrong_type"),
        ("mapping.contact.email", "required"),
    ]
    assert [field for field, _ in await toy.problems("PUT", SETUP, BODY | {"colour": "red"})] == ["colour"]
    assert await toy.read(campaigns.setups_of, "con_1") == []


async def test_a_field_that_goes_between_picking_and_saving_is_noticed(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign()
    offered = await toy.call("GET", "/connections/con_1/fields/lead")
    assert "f_size" in [one["key"] for one in offered["data"]]
    toy.vendor.remove_field("lead", "f_size")
    row = {"record_kind": "lead", "field": "f_size", "source": "person.referral_count"}
    assert await toy.problems("PUT", SETUP, BODY | {"mapping": [row]}) == [("mapping[0].field", "unknown_field")]


async def test_an_option_that_goes_between_picking_and_saving_is_noticed(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign()
    await toy.call("GET", "/connections/con_1/options/stages?parent=b")
    toy.vendor.options["stages"] = [one for one in toy.vendor.options["stages"] if one.value != "2"]
    found = await toy.problems("PUT", SETUP, BODY | {"qualification": RULE})
    assert found == [("qualification.parameters.stage", "unknown_option")]


async def test_nothing_is_saved_that_the_vendor_cannot_confirm(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign()
    await toy.call("GET", "/connections/con_1/fields/lead")
    await toy.call("GET", "/connections/con_1/fields/contact")
    toy.vendor.status = 503
    assert (await toy.setup(expect=503))["code"] == "vendor_unavailable"
    assert await toy.read(campaigns.setups_of, "con_1") == []


# --- attention -------------------------------------------------------------------------------------


async def saved_row(toy):
    (row,) = await toy.read(campaigns.setups_of, "con_1")
    return row


async def test_a_broken_mapping_needs_attention_and_the_host_is_told_once(toy):
    await toy.ready()
    row = await saved_row(toy)
    broken = attention.problems_of(row, MappingBroken("the vendor refused unknown fields", ["f_code"]))
    now = toy.clock.now()
    assert await toy.write(attention.mark_needs_attention, row, broken, now)
    assert await toy.write(attention.mark_needs_attention, row, broken, now)
    shown = await toy.call("GET", SETUP)
    assert shown["state"] == "needs_attention"
    assert [(one["field"], one["code"]) for one in shown["problems"]] == [("mapping[2].field", "mapping_broken")]
    (told,) = await events_of(toy, "setup.needs_attention")
    assert (told["campaign"], told["role"], told["connection"]) == ("spring", "referred", "con_1")
    assert told["problems"] == shown["problems"]


async def test_saving_it_again_releases_what_was_parked_in_batches(toy):
    await toy.ready()
    row = await saved_row(toy)
    ids = await parked(toy, row.id, count=1_200)
    await toy.write(attention.mark_needs_attention, row, BROKEN, toy.clock.now())
    assert (await toy.setup())["state"] == "ready"
    await release_only(toy)
    assert await states(toy, ids) == {"available"}


async def release_only(toy):
    """Run the tasks of setups, and leave what they released waiting."""
    handlers = attention.handlers(toy.services)
    for kind in ("check_setups", "release_setup"):
        while task := await due_task(toy, kind):
            run = Run(task, toy)
            await handlers[kind].run(run)
            await toy.write(tasks.cancel_tasks, "done", ids=[task.id])


class Run:
    seconds_left = 60.0
    lane_memory: dict = {}

    def __init__(self, task, toy):
        self.task = task
        self.lane_memory = {}
        self._toy = toy

    def now(self):
        return self._toy.clock.now()

    def excerpt(self, text):
        pass


async def due_task(toy, kind):
    async with toy.services.database.read() as conn:
        found = await conn.execute(select(waiting.c.id).where(waiting.c.kind == kind, waiting.c.state == "available"))
        ids = list(found.scalars())
    return await toy.read(tasks.get_task, ids[0]) if ids else None


async def test_a_mark_that_comes_after_a_new_saving_changes_nothing_and_parks_nothing_for_good(toy):
    await toy.ready()
    old = await saved_row(toy)
    toy.clock.advance(timedelta(seconds=1))
    await toy.setup()
    await release_only(toy)
    ids = await parked(toy, old.id)
    assert not await toy.write(attention.mark_needs_attention, old, BROKEN, toy.clock.now())
    assert (await toy.call("GET", SETUP))["state"] == "ready"
    await release_only(toy)
    assert await states(toy, ids) == {"available"}
    assert await events_of(toy, "setup.needs_attention") == []


async def test_a_task_that_is_parked_just_after_the_setup_was_mended_goes_on(toy):
    await toy.ready()
    row = await saved_row(toy)
    await toy.write(attention.mark_needs_attention, row, BROKEN, toy.clock.now())
    marked = await saved_row(toy)
    await toy.setup()
    await release_only(toy)
    ids = await parked(toy, row.id)
    await toy.write(attention.parking(marked, toy.clock.now()))
    await release_only(toy)
    assert await states(toy, ids) == {"available"}


async def test_a_task_that_is_parked_while_the_setup_is_broken_stays_parked(toy):
    await toy.ready()
    row = await saved_row(toy)
    await release_only(toy)
    await toy.write(attention.mark_needs_attention, row, BROKEN, toy.clock.now())
    ids = await parked(toy, row.id)
    await toy.write(attention.parking(await saved_row(toy), toy.clock.now()))
    await release_only(toy)
    assert await states(toy, ids) == {"parked"}


async def test_removing_a_setup_lets_its_parked_tasks_find_out_for_themselves(toy):
    await toy.ready()
    row = await saved_row(toy)
    ids = await parked(toy, row.id)
    await toy.call("DELETE", SETUP, expect=204)
    await release_only(toy)
    assert await states(toy, ids) == {"available"}


async def check_now(toy):
    now = toy.clock.now()
    (nightly,) = attention.periodic(toy.services)
    await toy.write(nightly.make_tasks, now)
    await release_only(toy)
    return await toy.call("GET", SETUP)


async def test_the_nightly_check_finds_what_is_gone_and_sees_when_it_is_back(toy):
    await toy.ready(qualification=RULE)
    row = await saved_row(toy)
    kept, toy.vendor.fields["lead"] = toy.vendor.fields["lead"], []
    stages, toy.vendor.options["stages"] = toy.vendor.options["stages"], []
    broken = await check_now(toy)
    assert broken["state"] == "needs_attention"
    assert [one["field"] for one in broken["problems"]] == [
        "qualification.parameters.stage", "mapping[2].field", "referrer_fields[0].field",
    ]  # fmt: skip
    assert len(await events_of(toy, "setup.needs_attention")) == 1
    ids = await parked(toy, row.id)
    toy.vendor.fields["lead"] = kept
    toy.vendor.options["stages"] = [*stages, Option(value="8", label="Last", parent="b", rank=9)]
    mended = await check_now(toy)
    assert (mended["state"], mended["problems"]) == ("ready", [])
    assert await states(toy, ids) == {"available"}
    assert (await saved_row(toy)).resolved.accepts["stage"] == ["2", "3", "8"]
    assert mended["updated_at"] == broken["updated_at"]


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_a_vendor_that_cannot_be_read_breaks_no_setup(toy, status):
    await toy.ready()
    toy.vendor.status = status
    now = toy.clock.now()
    (nightly,) = attention.periodic(toy.services)
    await toy.write(nightly.make_tasks, now)
    await toy.worker.drain()
    assert (await toy.call("GET", SETUP))["state"] == "ready"


async def test_a_form_field_that_the_campaign_drops_breaks_the_rows_that_use_it(toy):
    await toy.account()
    await toy.connection()
    form = [{"key": "size", "label": "Size", "type": "number"}]
    await toy.campaign(fields=form)
    await toy.setup(mapping=[{"record_kind": "lead", "field": "f_size", "source": "person.fields.size"}])
    await toy.campaign()
    await release_only(toy)
    broken = await toy.call("GET", SETUP)
    assert [(one["field"], one["code"]) for one in broken["problems"]] == [("mapping[0].source", "unknown_source")]
    await toy.campaign(fields=form)
    await release_only(toy)
    assert (await toy.call("GET", SETUP))["state"] == "ready"


async def test_a_new_connection_to_the_same_tenant_takes_the_setup_on(toy):
    await toy.ready()
    row = await saved_row(toy)
    await toy.write(connections.change, "con_1", state="disconnected")
    shown = await toy.call("GET", SETUP)
    assert shown["connection"] == "con_1"
    await toy.connection("con_2")
    await toy.write(campaigns.adopt, "acme", "toy", "t1", "con_2")
    assert (await toy.call("GET", SETUP))["connection"] == "con_2"
    assert await toy.read(campaigns.setup, "con_2", "spring", "referred") == _moved(row)


def _moved(row):
    return msgspec.structs.replace(row, connection_id="con_2")
