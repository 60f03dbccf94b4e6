"""What the OpenAPI document tells of every operation alike: how it fails, and who may call it."""

import pytest
from schemathesis import openapi

from gateway.cli.export import openapi_document
from gateway_schemas.problem import ProblemDetails

from ..flows.conftest import make_world, world  # noqa: TID252 - folders of tests are no packages

__all__ = ["make_world", "world"]

PUBLIC = ("/health/", "/problems/", "/v1/oauth/", "/v1/inbound/")


@pytest.fixture
async def operations():
    document = await openapi_document()
    return document, {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_each_operation_fails_with_a_problem_document(operations):
    document, told = operations
    problem = document["components"]["responses"]["Problem"]["content"]["application/problem+json"]["schema"]
    schema = document["components"]["schemas"][problem["$ref"].rpartition("/")[2]]
    assert set(schema["properties"]) == set(ProblemDetails.__struct_fields__)
    for label, operation in told.items():
        failures = {code: one for code, one in operation["responses"].items() if not code.startswith(("2", "3"))}
        assert failures.keys() == {"4XX", "default"}, label
        assert all(one == {"$ref": "#/components/responses/Problem"} for one in failures.values()), label
    assert "status_code" not in str(document)


async def test_public_operations_need_no_key_and_no_other(operations):
    _, told = operations
    open_to_all = {label for label, one in told.items() if one.get("security") == []}
    assert open_to_all == {label for label in told if label.partition(" ")[2].startswith(PUBLIC)}
    assert len(open_to_all) >= 6


async def test_each_operation_with_a_key_names_its_scope(operations):
    _, told = operations
    without = {label for label, one in told.items() if "x-scope" not in one and one.get("security") != []}
    assert without == {"GET /v1/integrations", "GET /v1/integrations/{integration}"}  # any key
    assert {one["x-scope"] for one in told.values() if "x-scope" in one} == {"read", "signups", "manage", "host"}
    for one in told.values():
        if "x-scope" in one:
            words = "Needs a host key." if one["x-scope"] == "host" else f"Needs the scope `{one['x-scope']}`."
            assert one["description"].endswith(words)


async def test_what_is_served_is_finished_and_sound(world):
    served = (await world.api.get("/schema/openapi.json")).json()
    assert served["paths"]["/v1/events"]["get"]["x-scope"] == "read"
    openapi.from_dict(served).validate()
