"""The hand-written messages are what the published Structs say, one for each event type."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from gateway_schemas.event_data import DATA
from gateway_schemas.events import Event, EventType

FOLDER = Path(__file__).parents[2] / "schemas" / "examples" / "events"
TYPES = sorted(get_args(EventType))


def test_there_is_one_example_for_each_event_type_and_no_other():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == TYPES


@pytest.mark.parametrize("type_", TYPES)
def test_an_example_decodes_strictly_and_shows_every_key(type_: str):
    raw = (FOLDER / f"{type_}.json").read_bytes()
    event = msgspec.json.decode(raw, type=Event)
    data = msgspec.convert(event.data, DATA[type_])
    assert event.type == type_
    assert event.version == 1
    written = json.loads(raw)["data"]
    assert set(msgspec.to_builtins(data)) == set(written)
    assert msgspec.json.decode(msgspec.json.encode(data)) == written


@pytest.mark.parametrize("type_", TYPES)
def test_ids_in_examples_look_like_ids(type_: str):
    document = json.loads((FOLDER / f"{type_}.json").read_text())

    def walk(value: Any):
        if isinstance(value, dict):
            for each in value.values():
                yield from walk(each)
        elif isinstance(value, list):
            for each in value:
                yield from walk(each)
        elif isinstance(value, str) and re.match(r"[a-z]{3}_01", value):
            yield value

    for found in walk(document):
        assert re.fullmatch(r"[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}", found), found
