"""Field definitions and values of custom fields in all three shapes: ``VENDOR.md``, chapter 6."""

import pytest

REFUSED = (400, "ERR_SCHEMA_VALIDATION_FAILED")

# type, value in v2, what a v1 lead shows of it (suffix: value), what a webhook shows
SHAPES = {
    "varchar": ("abc", {"": "abc"}, {"type": "varchar", "value": "abc"}),
    "text": ("a" * 300, {"": "a" * 300}, {"type": "text", "value": "a" * 300}),
    "phone": ("123", {"": "123"}, {"type": "phone", "value": "123"}),
    "double": (500, {"": 500}, {"type": "double", "value": 500}),
    "monetary": (
        {"value": 500, "currency": "EUR"},
        {"": 500, "_currency": "EUR"},
        {"type": "monetary", "value": 500, "currency": "EUR"},
    ),
    "enum": (101, {"": "101"}, {"type": "enum", "id": 101}),
    "set": ([101, 102], {"": "101,102"}, {"type": "set", "values": [{"id": 101}, {"id": 102}]}),
    "people": (1, {"": 1}, {"type": "people", "id": 1}),
    "date": ("2026-01-31", {"": "2026-01-31"}, {"type": "date", "value": "2026-01-31"}),
    "daterange": (
        {"value": "2026-01-01", "until": "2026-01-31"},
        {"": "2026-01-01", "_until": "2026-01-31"},
        {"type": "daterange", "from": "2026-01-01", "until": "2026-01-31"},
    ),
    "time": (
        {"value": "09:00:00", "timezone_id": 318, "timezone_name": "Europe/London"},
        {"": "09:00:00", "_timezone_id": 318, "_timezone_name": "Europe/London"},
        {"type": "time", "value": "09:00:00", "timezone_id": 318},
    ),
    "timerange": (
        {"value": "09:00:00", "until": "10:00:00", "timezone_id": 318},
        {"": "09:00:00", "_until": "10:00:00", "_timezone_id": 318},
        {"type": "timerange", "from": "09:00:00", "until": "10:00:00", "timezone_id": 318},
    ),
}

WRONG = {
    "varchar": [5, "x" * 256, True],
    "text": [5],
    "double": ["3", True, {"value": 3}],
    "monetary": [5, {"value": "5", "currency": "EUR"}, {"amount": 5}, {"value": 5, "currency": "euro"}],
    "enum": ["101", 999, [101], "First"],
    "set": [[], 101, [999], "101,102", ["101"]],
    "people": ["1", 999],
    "user": [999],
    "org": [999],
    "date": ["31.01.2026", 5],
    "daterange": ["2026-01-01", {"value": "2026-01-01"}, {"from": "2026-01-01", "until": "2026-01-02"}],
    "time": ["09:00:00", {"value": "nine"}],
    "timerange": [{"value": "09:00:00"}],
    "address": ["Main St", {"country": "EE"}, {"value": "Main St", "planet": "Earth"}],
}


def fields_of(sandbox):
    return {
        kind: sandbox.add_field("deal", kind, kind, _options(kind), code=_code(kind)).code for kind in WRONG | SHAPES
    }


def _options(kind):
    return ["First", "Second"] if kind in {"enum", "set"} else None


def _code(kind):
    return kind.encode().hex().ljust(40, "0")[:40]


def options_to_first(sandbox, code, value):
    """Replace the table's 101 and 102 by the ids that the field has."""
    known = {101 + n: option.id for n, option in enumerate(sandbox._field(code, None).options)}
    if isinstance(value, list):
        return [options_to_first(sandbox, code, one) for one in value]
    if isinstance(value, dict):
        return {key: options_to_first(sandbox, code, one) for key, one in value.items()}
    if isinstance(value, str):
        for old, new in known.items():
            value = value.replace(str(old), str(new))
        return value
    return known.get(value, value) if isinstance(value, int) else value


@pytest.mark.parametrize("kind", SHAPES)
async def test_one_value_in_three_shapes(sandbox, client, kind):
    code = fields_of(sandbox)[kind]
    v2, v1, typed = (options_to_first(sandbox, code, shape) for shape in SHAPES[kind])
    hook = {"subscription_url": "https://gw.test/h", "event_action": "*", "event_object": "*", "name": "n"}
    await client.post("/api/v1/webhooks", json=hook)
    written = await client.post("/api/v2/deals", json={"title": "D", "custom_fields": {code: v2}})
    assert written.status_code == 200, written.text
    assert written.json()["data"]["custom_fields"][code] == v2
    flat = {code + suffix: value for suffix, value in v1.items()}
    lead = await client.post("/api/v1/leads", json={"title": "L", "person_id": 1, **flat})
    assert lead.status_code == 201, lead.text
    assert lead.json()["data"].items() >= flat.items()
    for attempt in await sandbox.deliver_webhooks():
        assert attempt.payload["data"]["custom_fields"][code] == typed
    path = f"/api/v2/deals/{written.json()['data']['id']}"
    cleared = await client.patch(path, json={"custom_fields": {code: None}})
    assert cleared.json()["data"]["custom_fields"][code] is None
    assert (await sandbox.deliver_webhooks())[0].payload["previous"]["custom_fields"] == {code: typed}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values])
async def test_wrong_values_fail_the_whole_write_and_name_the_code(sandbox, client, kind, value):
    code = fields_of(sandbox)[kind]
    answer = await client.post("/api/v2/deals", json={"title": "D", "custom_fields": {code: value}})
    assert (answer.status_code, answer.json()["code"]) == REFUSED
    assert code in answer.json()["error"]
    assert sandbox.demo.company.deals == {}


async def test_an_address_is_completed_with_nulls(sandbox, client):
    code = sandbox.add_field("person", "Home", "address").code
    data = (await client.patch("/api/v2/persons/1", json={"custom_fields": {code: {"value": "Main St 1"}}})).json()[
        "data"
    ]
    assert data["custom_fields"][code]["value"] == "Main St 1"
    assert data["custom_fields"][code]["country"] is None
    assert data["custom_fields"][code]["postal_code"] is None


async def test_a_deleted_or_foreign_field_fails_the_whole_write(sandbox, client):
    link, code = (sandbox.demo.person_fields[name].code for name in ("Referral Link", "Referral Code"))
    sandbox.update_person(1, custom_fields={link: "old", code: "A"})
    sandbox.delete_field(link)
    answer = await client.patch("/api/v2/persons/1", json={"custom_fields": {link: "new", code: "B"}})
    assert (answer.status_code, answer.json()["code"]) == REFUSED
    assert link in answer.json()["error"]
    assert sandbox.demo.persons[0].custom_fields[code] == "A"
    assert link not in (await client.get("/api/v2/persons/1")).json()["data"]["custom_fields"]
    foreign = sandbox.demo.deal_fields["Referral Code"].code
    assert (await client.patch("/api/v2/persons/1", json={"custom_fields": {foreign: "x"}})).status_code == 400
    assert (await client.patch("/api/v2/persons/1", json={"custom_fields": {"name": "x"}})).status_code == 400


async def test_nesting_custom_fields_twice_is_an_internal_error(client):
    answer = await client.patch("/api/v2/persons/1", json={"custom_fields": {"custom_fields": {}}})
    assert answer.status_code == 500
    assert answer.json()["code"] == "ERR_UNKNOWN"


async def test_option_labels_on_request(sandbox, client):
    one = sandbox.add_field("person", "Tier", "enum", ["Gold", "Silver"])
    many = sandbox.add_field("person", "Tags", "set", ["A", "B"])
    gold, tags = one.options[0].id, [option.id for option in many.options]
    sandbox.update_person(1, custom_fields={one.code: gold, many.code: tags})
    data = (await client.get("/api/v2/persons/1", params={"include_option_labels": "true"})).json()["data"]
    assert data["custom_fields"][one.code] == {"id": gold, "label": "Gold"}
    assert [option["label"] for option in data["custom_fields"][many.code]] == ["A", "B"]
    sandbox.delete_option(one.code, gold)
    assert (await client.patch("/api/v2/persons/1", json={"custom_fields": {one.code: gold}})).status_code == 400


async def test_lists_of_fields_are_paged_and_may_be_long(sandbox, client):
    for number in range(120):
        sandbox.add_field("person", f"Field {number}")
    seen, cursor = [], None
    while True:
        page = (await client.get("/api/v2/personFields", params={"cursor": cursor} if cursor else {})).json()
        seen += page["data"]
        cursor = page["additional_data"]["next_cursor"]
        if cursor is None:
            break
        assert len(page["data"]) == 100
    assert sum(one["is_custom_field"] for one in seen) == 127
    codes = [one["field_code"] for one in seen]
    assert len(codes) == len(set(codes))
    assert {"email", "phone"} <= set(codes)
    assert not {"emails", "phones"} & set(codes)


async def test_lead_fields_are_v1_and_inherit_those_of_deals(sandbox, client):
    page = (await client.get("/api/v1/leadFields", params={"limit": 10})).json()
    assert page["additional_data"]["pagination"] == {
        "start": 0,
        "limit": 10,
        "more_items_in_collection": True,
        "next_start": 10,
    }
    rest = (await client.get("/api/v1/leadFields", params={"start": 10})).json()
    assert "next_start" not in rest["additional_data"]["pagination"]
    custom = {one["key"] for one in page["data"] + rest["data"] if one["edit_flag"]}
    assert custom == {one.code for one in sandbox.demo.deal_fields.values()}


async def test_fields_are_created_with_a_hash_that_no_rename_changes(sandbox, client):
    body = {"field_name": "Referral Tier", "field_type": "enum", "options": [{"label": "Gold"}, {"label": "Silver"}]}
    made = (await client.post("/api/v2/dealFields", json=body)).json()["data"]
    assert len(made["field_code"]) == 40
    assert made["is_custom_field"] is True
    assert [one["label"] for one in made["options"]] == ["Gold", "Silver"]
    again = (await client.post("/api/v2/dealFields", json=body)).json()["data"]
    assert again["field_code"] != made["field_code"]
    sandbox.rename_field(made["field_code"], "Tier")
    read = (await client.get(f"/api/v2/dealFields/{made['field_code']}")).json()["data"]
    assert read["field_name"] == "Tier"
    blocks = await client.get(f"/api/v2/dealFields/{made['field_code']}?include_fields=ui_visibility,required_fields")
    assert {"ui_visibility", "required_fields"} <= set(blocks.json()["data"])


@pytest.mark.parametrize(
    "body",
    [
        {"field_type": "varchar"},
        {"field_name": "x", "field_type": "url"},
        {"field_name": "x", "field_type": "boolean"},
        {"field_name": "x", "field_type": "enum"},
        {"field_name": "x", "field_type": "varchar", "options": [{"label": "A"}]},
        {"field_name": "x" * 256, "field_type": "varchar"},
        {"name": "x", "field_type": "varchar"},
    ],
    ids=str,
)
async def test_bad_fields_are_refused(client, body):
    answer = await client.post("/api/v2/personFields", json=body)
    assert (answer.status_code, answer.json()["code"]) == REFUSED


async def test_a_plan_limits_custom_fields(sandbox, client):
    sandbox.demo.company.custom_fields_limit = 14
    answer = await client.post("/api/v2/personFields", json={"field_name": "x", "field_type": "varchar"})
    assert answer.status_code == 403


async def test_fields_are_deleted_but_built_in_ones_are_not(sandbox, client):
    code = sandbox.demo.deal_fields["Campaign Name"].code
    assert (await client.delete(f"/api/v2/dealFields/{code}")).json()["data"]["field_code"] == code
    assert (await client.get(f"/api/v2/dealFields/{code}")).status_code == 404
    assert (await client.delete("/api/v2/personFields/name")).status_code == 404


async def test_fields_may_be_created_without_admin(make, client_for):
    body = {"field_name": "x", "field_type": "varchar"}
    async with client_for(make(granted_scopes=("base", "contact-fields:full"))) as client:
        assert (await client.post("/api/v2/personFields", json=body)).status_code == 200
        assert (await client.post("/api/v2/dealFields", json=body)).status_code == 403
