"""What the API refuses in path, query and body, and that it says by name what to mend."""

import msgspec
import pytest

import gateway_schemas
from gateway.cli.export import openapi_document
from gateway.flows.field_problems import field_problem
from gateway_schemas.base import FieldValue, Input

from ..flows.conftest import make_world, world  # noqa: TID252 - folders of tests are no packages

__all__ = ["make_world", "world"]

INPUTS = [struct for structs in gateway_schemas.by_module().values() for struct in structs if issubclass(struct, Input)]
ANY_VALUE = msgspec.json.schema(FieldValue)["anyOf"]
"""Values of fields are kept as JSON, which holds any integer."""


def integers(schema, where=""):
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            yield from integers(one, f"{where}/{number}")
    elif isinstance(schema, dict):
        if schema.get("type") == "integer":
            yield where, schema
        for name, one in schema.items():
            if one != ANY_VALUE:
                yield from integers(one, f"{where}/{name}")


@pytest.mark.parametrize("struct", INPUTS, ids=lambda one: one.__name__)
def test_each_integer_of_a_body_has_bounds(struct):
    unbounded = [
        where for where, one in integers(msgspec.json.schema(struct)) if not {"minimum", "maximum"} <= set(one)
    ]
    assert unbounded == []


async def test_each_integer_of_a_query_has_bounds():
    told = [
        (path, parameter["name"], one)
        for path, operations in (await openapi_document())["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        for _, one in integers(parameter["schema"])
    ]
    assert len(told) > 5
    assert [found for found in told if not {"minimum", "maximum"} <= set(found[2])] == []


@pytest.mark.parametrize("after", [2**63, 10**30])
async def test_a_position_that_no_database_holds_is_refused(world, after):
    problem = await world.call("GET", f"/v1/events?after={after}", expect=422)
    assert problem["problems"][0]["field"] == "after"
    endpoint = await world.endpoint()
    path = f"/v1/endpoints/{endpoint['id']}/enable"
    problem = await world.call("POST", path, {"replay_from": after}, expect=422)
    assert problem["problems"][0]["field"] == "replay_from"


async def test_a_position_beyond_the_newest_is_refused_by_name(world):
    await world.account()
    await world.campaign()
    endpoint = await world.endpoint()
    await world.signup()
    await world.drain()
    newest = (await world.call("GET", "/v1/events"))["next"]
    assert (await world.call("GET", f"/v1/events?after={newest}"))["data"] == []
    problem = await world.call("GET", f"/v1/events?after={newest + 1}", expect=422)
    assert problem["problems"][0]["field"] == "after"
    assert f"after={newest}" in problem["problems"][0]["message"]
    path = f"/v1/endpoints/{endpoint['id']}/enable"
    assert (await world.call("POST", path, {"replay_from": newest}))["state"] == "enabled"
    problem = await world.call("POST", path, {"replay_from": newest + 1}, expect=422)
    assert problem["problems"][0]["field"] == "replay_from"
    assert str(newest) in problem["problems"][0]["message"]


async def test_a_number_of_a_count_that_is_too_large_is_refused(world):
    await world.account()
    await world.campaign()
    person = (await world.signup())["person"]
    path = f"/v1/accounts/acme/people/{person}"
    for number in (-1, 2**31, 10**30):
        problem = await world.call("PATCH", path, {"counts": {"referrals": number}}, expect=422)
        assert problem["problems"][0]["field"].startswith("counts")


async def test_what_is_not_there_is_named(world):
    path = "/v1/accounts/nope/campaigns/spring/signups"
    body = {"role": "referred", "person": {"email": "a@example.com", "first_name": "A"}}
    assert "account 'nope'" in (await world.call("POST", path, body, expect=404))["detail"]
    await world.account()
    path = "/v1/accounts/acme/campaigns/spring/signups"
    assert "campaign 'spring'" in (await world.call("POST", path, body, expect=404))["detail"]


@pytest.mark.parametrize("dots", ["%2e", "%2e%2e"])
async def test_ids_that_clients_would_normalise_away_are_refused(world, dots):
    await world.account()
    assert (await world.api.put(f"/v1/accounts/{dots}", json={"name": "Dots"})).status_code == 422
    answer = await world.api.put(f"/v1/accounts/acme/campaigns/{dots}", json={"name": "Dots"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "campaign"
    assert (await world.api.put("/v1/accounts/a..", json={"name": "Dots"})).status_code == 201


WRONG_STATES = [
    "/v1/deliveries?state=bogus",
    "/v1/accounts/acme/rewards?state=bogus",
    "/v1/accounts/acme/campaigns/spring/syncs/syn_1/contacts?state=bogus",
]


@pytest.mark.parametrize("path", WRONG_STATES)
async def test_a_wrong_state_names_the_parameter_as_it_is_called(world, path):
    problem = await world.call("GET", path, expect=422)
    assert [one["field"] for one in problem["problems"]] == ["state"]
    assert "in_state" not in problem["detail"]


async def test_an_unknown_query_parameter_is_refused_with_those_that_there_are(world):
    await world.account()
    problem = await world.call("GET", "/v1/accounts/acme/people?campaign_id=spring&limit=5", expect=422)
    assert [one["field"] for one in problem["problems"]] == ["campaign_id"]
    assert "campaign, role, state, q, limit, cursor" in problem["problems"][0]["message"]
    problem = await world.call("GET", "/v1/accounts/acme?state=draft", expect=422)
    assert "has none" in problem["problems"][0]["message"]
    problem = await world.call("PUT", "/v1/accounts/acme?dry_run=true", {"name": "Acme"}, expect=422)
    assert problem["problems"][0]["field"] == "dry_run"


async def test_each_documented_query_parameter_is_known_and_no_other(world):
    """The refusal reads the routes, and the document too: they agree on every operation."""
    for path, operations in world.app.openapi_schema.to_schema()["paths"].items():
        for method, operation in operations.items():
            url = path.format(**{one["name"]: "x" for one in operation.get("parameters", []) if one["in"] == "path"})
            names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            answer = await world.api.request(method, url, params={"bogus": "1"})
            if path.startswith(("/health", "/v1/oauth/", "/v1/inbound/")):
                assert "Unknown query parameter" not in answer.text, (method, path)
                continue
            assert answer.status_code == 422, (method, path, answer.text)
            told = f"This route has: {', '.join(names)}." if names else "This route has none."
            assert answer.json()["problems"][0]["message"].endswith(told), (method, path)


async def test_routes_that_others_call_take_any_query_parameter(world):
    for path in ("/health/live?x=1", "/health/ready?x=1", "/metrics?x=1", "/schema/openapi.json?x=1"):
        assert (await world.api.get(path)).status_code == 200
    assert "Unknown query parameter" not in (await world.api.get("/console?utm_source=mail")).text


NOWHERE = [
    ("GET", "/v1/events?account=ghost", None, "account 'ghost'"),
    ("GET", "/v1/endpoints?account=ghost", None, "account 'ghost'"),
    ("GET", "/v1/deliveries?account=ghost", None, "account 'ghost'"),
    ("GET", "/v1/deliveries?endpoint=end_nope", None, "endpoint 'end_nope'"),
    ("POST", "/v1/deliveries/replay", {"account": "ghost"}, "account 'ghost'"),
    ("POST", "/v1/deliveries/replay", {"endpoint": "end_nope"}, "endpoint 'end_nope'"),
    ("GET", "/v1/accounts/acme/people?campaign=bogus", None, "campaign 'bogus'"),
    ("GET", "/v1/accounts/acme/people.csv?campaign=bogus", None, "campaign 'bogus'"),
    ("GET", "/v1/accounts/acme/rewards?campaign=bogus", None, "campaign 'bogus'"),
    ("GET", "/v1/accounts/ghost/rewards", None, "account 'ghost'"),
    ("GET", "/v1/accounts/ghost/people?campaign=spring", None, "account 'ghost'"),
    ("GET", "/v1/accounts/ghost/campaigns", None, "account 'ghost'"),
]


@pytest.mark.parametrize(("method", "path", "body", "what"), NOWHERE, ids=lambda one: str(one)[:50])
async def test_a_filter_by_what_is_not_there_is_no_empty_list(world, method, path, body, what):
    await world.account()
    assert what in (await world.call(method, path, body, expect=404))["detail"]


async def test_deliveries_of_a_removed_endpoint_can_still_be_read(world):
    endpoint = (await world.endpoint())["id"]
    await world.call("DELETE", f"/v1/endpoints/{endpoint}")
    assert (await world.call("GET", f"/v1/deliveries?endpoint={endpoint}"))["data"] == []


async def test_the_state_of_people_is_one_that_there_is(world):
    await world.account()
    for path in ("/v1/accounts/acme/people", "/v1/accounts/acme/people.csv"):
        problem = await world.call("GET", f"{path}?state=bogus", expect=422)
        assert problem["problems"][0]["field"] == "state"
    for state in ("qualified", "held"):
        assert (await world.call("GET", f"/v1/accounts/acme/people?state={state}"))["data"] == []


LISTS = [
    "/v1/accounts/acme/people", "/v1/accounts/acme/rewards", "/v1/accounts/acme/connections", "/v1/endpoints",
    "/v1/deliveries", "/v1/accounts/acme/campaigns/spring/syncs",
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_that_no_page_gave_is_refused(world, path):
    await world.account()
    await world.campaign()
    problem = await world.call("GET", f"{path}?cursor=zzz", expect=422)
    assert problem["problems"][0]["field"] == "cursor"
    assert "`next`" in problem["problems"][0]["message"]
    assert (await world.call("GET", path))["data"] == []


def patterns(schema):
    if isinstance(schema, list):
        for one in schema:
            yield from patterns(one)
    elif isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for one in schema.values():
            yield from patterns(one)


async def test_each_pattern_of_the_contract_has_words():
    found = {one for struct in INPUTS for one in patterns(msgspec.json.schema(struct))}
    found |= {
        one
        for operations in (await openapi_document())["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
        for one in patterns(parameter["schema"])
    }
    assert len(found) > 8
    for pattern in found:
        words = field_problem(msgspec.ValidationError(f"Expected `str` matching regex {pattern!r} - at `$.x`")).message
        assert words.startswith("Send "), pattern


REWARDS = [{"kind": "fixed", "on": "friday"}]
IN_WORDS = [
    ("PUT", "campaigns/spring", {"name": "S", "state": "dead"}, "state", "Send one of: draft, live."),
    ("PUT", "campaigns/spring", {"name": "S", "rewards": REWARDS}, "rewards[0].on", "one of: qualification, sale."),
    ("PUT", "campaigns/spring", {"name": ""}, "name", "Send at least 1 character."),
    ("PUT", "campaigns/spring", {"name": 7}, "name", "Send text, not a whole number."),
    ("PUT", "campaigns/spring", {}, "name", "This field is required."),
    ("PUT", "campaigns/spring", {"name": "S", "colour": "red"}, "colour", "There is no such field."),
    ("PUT", "campaigns/spring", [], "", "Send an object, not a list."),
    ("POST", "campaigns/spring/signups", [], "", "Send an object, not a list."),
    ("POST", "campaigns/spring/signups", {"role": "friend", "person": {}}, "role", "Send one of: referred, referrer."),
    ("POST", "signups/release", {"campaign": "a b"}, "campaign", "Send an id of 1 to 128 characters"),
    ("GET", "people?role=friend", None, "role", "Send one of: referred, referrer."),
    ("GET", "people?state=bogus", None, "state", "pending"),
    ("GET", "people?limit=500", None, "limit", "Send a number of at most 200."),
]


@pytest.mark.parametrize(("method", "path", "body", "field", "words"), IN_WORDS, ids=lambda one: str(one)[:40])
async def test_what_may_be_sent_is_said_in_our_words(world, method, path, body, field, words):
    await world.account()
    await world.campaign()
    problem = await world.call(method, f"/v1/accounts/acme/{path}", body, expect=422)
    assert [one["field"] for one in problem["problems"]] == [field]
    assert words in problem["problems"][0]["message"]
    assert (
        problem["detail"].startswith(("Correct and send again: the body.", "The body: ")) or field in problem["detail"]
    )
    assert "Expected" not in problem["detail"]


async def test_a_body_that_is_missing_is_said_to_be(world):
    problem = (await world.api.put("/v1/accounts/acme")).json()
    assert (problem["status"], problem["problems"][0]["message"]) == (422, "The body is missing.")


async def test_another_method_is_answered_with_those_that_there_are(world):
    answer = await world.api.delete("/v1/accounts")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/accounts/acme", "/v1/accounts/acme/campaigns/spring/signups"])
async def test_a_body_that_is_too_large_is_answered_with_the_limit(world, path):
    await world.account()
    await world.campaign()
    method, limit = ("PUT", 1024 * 1024) if path.endswith("acme") else ("POST", 8 * 1024 * 1024)
    body = b'{"name": "' + b"a" * limit + b'"}'
    answer = await world.api.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert f"{limit:,} bytes" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_load_balancers_may_ask_with_head(world, path):
    answer = await world.api.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
