from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from gateway.storage import accounts, campaigns, connections, vendor_lists
from gateway.storage.campaigns import Resolved, SetupRow
from gateway.storage.connections import ConnectionRow
from gateway_schemas.account import AccountInput
from gateway_schemas.base import Money
from gateway_schemas.campaign import (
    CampaignInput,
    DefaultEntry,
    FormField,
    MappingEntry,
    QualificationRule,
    RewardRule,
    SetupInput,
    SetupProblem,
)
from gateway_schemas.records import Field, Option

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPRING = CampaignInput(
    name="Spring",
    fields=[FormField(key="size", label="Size", type="number", required=True)],
    link_template="https://refer.example/{code}",
    rewards=[RewardRule(kind="fixed", amount=Decimal("10.50"), currency="EUR", hold_days=3)],
)


async def write(database, fn, *args, **kwargs):
    async def run(conn):
        return await fn(conn, *args, **kwargs)

    return await database.writer.run(run)


async def read(database, fn, *args, **kwargs):
    async with database.read() as conn:
        return await fn(conn, *args, **kwargs)


@pytest.fixture
async def account(database):
    await write(database, accounts.put, "acme", AccountInput(name="Acme"), NOW)
    return "acme"


def connection(key="con_1", **changes):
    values = {"account_id": "acme", "integration": "toy", "category": "crm", "state": "active", "identity": "t1"}
    return ConnectionRow(id=key, created_at=NOW, state_since=NOW, **(values | changes))


def setup(key="set_1", **changes):
    values = {
        "account_id": "acme",
        "campaign_id": "spring",
        "role": "referred",
        "connection_id": "con_1",
        "integration": "toy",
        "identity": "t1",
        "body": SetupInput(
            target="lead",
            mapping=[MappingEntry(record_kind="lead", field="title", source="campaign.name")],
            defaults=[
                DefaultEntry(record_kind="lead", field="value", value=Money(amount=Decimal("1.50"), currency="EUR"))
            ],
            qualification=QualificationRule(trigger="won", parameters={"stage": "2"}),
        ),
        "resolved": Resolved(
            accepts={"stage": ["2", "3"]},
            labels={"stage:2": "Two"},
            fields={
                "lead": [
                    Field(key="title", label="Title", type="text", options=[Option(value="1", label="One", rank=1)])
                ]
            },
        ),
        "state": "ready",
        "problems": [],
        "updated_at": NOW,
    }
    return SetupRow(id=key, **(values | changes))


async def test_a_campaign_comes_back_as_it_was_declared(database, account):
    saved = await write(database, campaigns.upsert, account, "spring", SPRING, NOW)
    assert (saved.fields, saved.rewards, saved.link_template) == (SPRING.fields, SPRING.rewards, SPRING.link_template)
    assert saved == await read(database, campaigns.get, account, "spring")
    assert saved.rewards[0].amount == Decimal("10.50")
    assert await read(database, campaigns.get, account, "winter") is None


async def test_the_same_again_leaves_the_times_alone_and_a_change_moves_one(database, account):
    first = await write(database, campaigns.upsert, account, "spring", SPRING, NOW)
    later = NOW + timedelta(hours=1)
    assert await write(database, campaigns.upsert, account, "spring", SPRING, later) == first
    changed = await write(
        database, campaigns.upsert, account, "spring", CampaignInput(name="Spring", state="live"), later
    )
    assert (changed.state, changed.fields, changed.link_template, changed.rewards) == ("live", [], None, [])
    assert (changed.created_at, changed.updated_at) == (NOW, later)


async def test_a_campaign_needs_its_account(database):
    with pytest.raises(IntegrityError):
        await write(database, campaigns.upsert, "nobody", "spring", SPRING, NOW)


async def test_campaigns_are_listed_page_by_page(database, account):
    for name in ("c", "a", "b"):
        await write(database, campaigns.upsert, account, name, SPRING, NOW)
    first = await read(database, campaigns.list_campaigns, account, limit=2)
    rest = await read(database, campaigns.list_campaigns, account, limit=2, after=first[-1].id)
    assert [row.id for row in first + rest] == ["a", "b", "c"]
    assert set(await read(database, campaigns.by_ids, account, ["a", "c", "x"])) == {"a", "c"}
    assert await read(database, campaigns.list_campaigns, "other") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("SPRING", ["a", "b"]),
        ("ring s", ["a"]),
        ("B", ["b"]),
        ("100%", ["c"]),
        ("%", ["c"]),
        ("_", []),
        ("", ["a", "b", "c"]),
    ],
)
async def test_campaigns_are_found_by_part_of_a_name_or_id(database, account, words, found):
    for key, name in (("a", "Spring sale"), ("b", "Early spring"), ("c", "100% off")):
        await write(database, campaigns.upsert, account, key, msgspec.structs.replace(SPRING, name=name), NOW)
    listed = await read(database, campaigns.list_campaigns, account, words=words)
    assert [one.id for one in listed] == found


async def test_a_setup_comes_back_as_it_was_saved_and_keeps_its_id(database, account):
    await write(database, connections.add, connection())
    row = setup()
    assert await write(database, campaigns.save_setup, row) == row
    again = setup("set_2", state="needs_attention", updated_at=NOW + timedelta(1))
    saved = await write(database, campaigns.save_setup, again)
    assert (saved.id, saved.state, saved.updated_at) == ("set_1", "needs_attention", NOW + timedelta(1))
    assert await read(database, campaigns.setup, "con_1", "spring", "referred") == saved
    assert await read(database, campaigns.setup_by_id, "set_1") == saved
    assert await read(database, campaigns.setups_of, "con_1") == [saved]
    assert await read(database, campaigns.setup, "con_1", "spring", "referrer") is None


async def test_marking_leaves_the_time_of_saving(database, account):
    await write(database, connections.add, connection())
    row = await write(database, campaigns.save_setup, setup())
    problem = SetupProblem(field="mapping[0].field", message="gone", code="unknown_field")
    await write(database, campaigns.mark, row.id, state="needs_attention", problems=[problem])
    marked = await write(database, campaigns.lock_setup, row.id)
    assert (marked.state, marked.problems, marked.updated_at, marked.resolved) == (
        "needs_attention", [problem], NOW, row.resolved,
    )  # fmt: skip
    await write(database, campaigns.mark, row.id, state="ready", problems=[], resolved=Resolved(accepts={"a": ["b"]}))
    assert (await read(database, campaigns.setup_by_id, row.id)).resolved == Resolved(accepts={"a": ["b"]})


async def test_a_deleted_setup_is_gone(database, account):
    await write(database, connections.add, connection())
    row = await write(database, campaigns.save_setup, setup())
    await write(database, campaigns.delete_setup, row.id)
    assert await write(database, campaigns.lock_setup, row.id) is None


async def test_a_new_connection_to_the_same_tenant_adopts_what_earlier_ones_left(database, account):
    await write(database, connections.add, connection("con_1", state="disconnected"))
    await write(database, connections.add, connection("con_2", state="disconnected"))
    await write(database, connections.add, connection("con_3", state="disconnected", identity="t2"))
    await write(database, connections.add, connection("con_4"))
    later = NOW + timedelta(hours=1)
    for row in (
        setup("set_1"),
        setup("set_2", connection_id="con_2", updated_at=later),  # the same campaign and role, saved later
        setup("set_3", role="referrer"),
        setup("set_4", connection_id="con_3", identity="t2"),
        setup("set_5", account_id="other", campaign_id="summer"),
        setup("set_6", campaign_id="autumn"),
        setup("set_7", campaign_id="autumn", connection_id="con_4"),  # saved over the new connection already
    ):
        await write(database, campaigns.save_setup, row)
    adopted = await write(database, campaigns.adopt, "acme", "toy", "t1", "con_4")
    assert {row.id for row in adopted} == {"set_2", "set_3"}
    assert {row.id for row in await read(database, campaigns.setups_of, "con_4")} == {"set_2", "set_3", "set_7"}
    assert await write(database, campaigns.adopt, "acme", "toy", "t1", "con_4") == []


async def test_setups_of_an_open_connection_are_not_adopted(database, account):
    await write(database, connections.add, connection("con_1"))
    await write(database, campaigns.save_setup, setup())
    assert await write(database, campaigns.adopt, "acme", "toy", "t1", "con_9") == []


async def test_active_connections_with_setups_are_checked(database, account):
    await write(database, connections.add, connection("con_1"))
    await write(database, connections.add, connection("con_2", integration="other", category="automation"))
    assert await read(database, campaigns.setups_to_check) == []
    await write(database, campaigns.save_setup, setup())
    assert await read(database, campaigns.setups_to_check) == [("con_1", "acme", "toy", "t1")]


async def test_a_list_is_kept_for_its_source_and_parent_and_a_later_reading_stands(database, account):
    await write(database, connections.add, connection())
    field = Field(key="title", label="Title", type="text")
    await write(database, vendor_lists.put, "con_1", "fields:lead", "", [field], NOW)
    await write(database, vendor_lists.put, "con_1", "fields:lead", "", [], NOW - timedelta(1))
    await write(database, vendor_lists.put, "con_1", "options:stages", "7", [Option(value="1", label="One")], NOW)
    kept = await read(database, vendor_lists.get, "con_1", "fields:lead")
    assert (kept.read_at, [one["key"] for one in kept.body]) == (NOW, ["title"])
    assert await read(database, vendor_lists.get, "con_1", "options:stages") is None
    assert await read(database, vendor_lists.get, "con_1", "options:stages", "7") is not None
    await write(database, vendor_lists.forget, "con_1", "fields:")
    assert await read(database, vendor_lists.get, "con_1", "fields:lead") is None
    assert await read(database, vendor_lists.get, "con_1", "options:stages", "7") is not None
