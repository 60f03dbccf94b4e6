"""The receiver's guide is run: its snippet takes what we sign, and its tables name what there is."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.webhooks.schedule import WAITS
from gateway.webhooks.signing import new_secret, sign
from gateway_schemas.events import EventType

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "receivers.md").read_text()
EXAMPLE_FOLDER = ROOT / "schemas" / "examples" / "events"
EXAMPLE = (EXAMPLE_FOLDER / "referral.qualified.json").read_bytes()


@pytest.fixture
def snippet():
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/receivers.md", "exec"), names)
    yield names
    names["database"].close()


def test_the_snippet_takes_a_genuine_message_once(snippet: dict[str, Any]):
    secret = snippet["SECRETS"][0]
    for at in (datetime.now(UTC), datetime.now(UTC) - timedelta(seconds=30)):
        assert snippet["receive"](EXAMPLE, sign("evt_1", EXAMPLE, [new_secret(), secret], at)) == 204
    assert snippet["database"].execute("SELECT count(*) FROM inbox").fetchone() == (1,)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,A  v1,B"},
        {"webhook-timestamp": "1"},
        {"webhook-id": ""},
    ],
    ids=str,
)
def test_the_snippet_refuses_whatever_is_wrong(snippet: dict[str, Any], change: dict[str, str]):
    headers = sign("evt_1", EXAMPLE, [snippet["SECRETS"][0]], datetime.now(UTC))
    assert snippet["receive"](EXAMPLE, {**headers, **change}) == 401
    assert snippet["receive"](b"\xff" + EXAMPLE, headers) == 401


def example(name: str, sequence: int) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EXAMPLE_FOLDER / f"{name}.json").read_bytes())
    return {**event, "sequence": sequence}


def test_a_sale_that_arrives_before_its_qualification_hides_nothing(snippet: dict[str, Any]):
    arriving = [example("sale.recorded", 4), example("referral.qualified", 3), example("reward.due", 7)]
    assert [snippet["is_news"](event) for event in arriving] == [True, True, True]


def test_what_is_older_of_the_same_thing_is_no_news(snippet: dict[str, Any]):
    arriving = [
        example("referral.disqualified", 5),
        example("referral.qualified", 3),
        example("referral.disqualified", 5),
        example("referral.qualified", 8),
    ]
    assert [snippet["is_news"](event) for event in arriving] == [True, False, False, True]


@pytest.mark.parametrize("name", [*sorted(path.stem for path in EXAMPLE_FOLDER.glob("re*.json")), "sale.updated"])
def test_every_state_of_a_person_is_told_apart(snippet: dict[str, Any], name: str):
    assert snippet["is_news"](example(name, 2))
    assert not snippet["is_news"](example(name, 1))


def test_the_guide_names_every_event_type():
    table = GUIDE.partition("## Event types")[2]
    assert sorted(re.findall(r"`([a-z]+\.[a-z_]+)`", table)) == sorted(get_args(EventType))


def test_the_guide_tells_the_schedule():
    assert (5, 300, 1_800, *(hours * 3_600 for hours in (2, 5, 10, 14, 20, 24))) == WAITS
    assert "5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20\nand 24 hours" in GUIDE
