"""The published contract: generated files are current, examples are valid, input is strict."""

import json
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

import gateway_schemas
from gateway.cli.export import as_text, json_schemas, openapi_document
from gateway_schemas.base import Input
from gateway_schemas.events import Event
from gateway_schemas.signup import Signup

SCHEMAS = Path(__file__).parents[2] / "schemas"
STRUCTS = [struct for structs in gateway_schemas.by_module().values() for struct in structs]


def test_each_json_schema_is_current():
    committed = {path.name.removesuffix(".schema.json"): path.read_text() for path in (SCHEMAS / "json").glob("*")}
    assert committed == {name: as_text(document) for name, document in json_schemas().items()}


async def test_the_openapi_document_is_current():
    assert (SCHEMAS / "openapi.json").read_text() == as_text(await openapi_document())


@pytest.mark.parametrize("document", json_schemas().values(), ids=json_schemas())
def test_each_json_schema_is_one(document):
    Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("struct", [one for one in STRUCTS if issubclass(one, Input)], ids=lambda one: one.__name__)
def test_input_refuses_unknown_fields_by_name(struct):
    assert struct.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda one: one.__name__)
def test_each_struct_is_frozen_and_takes_names(struct):
    assert struct.__struct_config__.frozen
    assert struct.__doc__


EVENTS = sorted((SCHEMAS / "examples" / "events").glob("*.json"))


def test_there_is_an_example_of_each_event_type():
    types = set(msgspec.json.schema(Event)["$defs"]["Event"]["properties"]["type"]["enum"])
    assert {path.stem for path in EVENTS} == types


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_each_example_event_is_valid_by_struct_and_by_schema(path):
    raw = path.read_bytes()
    assert msgspec.json.decode(raw, type=Event).type == path.stem
    document = json_schemas()["events"]
    Draft202012Validator({**document, "$ref": "#/$defs/Event"}).validate(json.loads(raw))


SIGNUPS = sorted((SCHEMAS / "examples" / "signups").glob("*.json"))


@pytest.mark.parametrize("path", SIGNUPS, ids=lambda path: path.stem)
def test_each_example_signup_is_valid(path):
    assert msgspec.json.decode(path.read_bytes(), type=Signup).person.email


def test_there_are_example_signups():
    assert len(SIGNUPS) >= 3
