"""What refusals mean: ``VENDOR.md``, chapters 3 and 4, by table."""

import json
from pathlib import Path

import httpx
import pytest

from gateway.sdk.errors import NotSupported, Rejected, RetryLater
from gateway_pipedrive.errors import RefusedInput, classify

REFUSALS = json.loads((Path(__file__).parent / "fixtures" / "refusals.json").read_text())
KEY = "9dc80c50d78a15643bfc4ca79d76156a73a1ca0e"


def answer(status, body="", headers=None, method="POST", path="/api/v2/persons"):
    request = httpx.Request(method, "https://acme.pipedrive.com" + path)
    if isinstance(body, str):
        return httpx.Response(status, text=body, headers=headers, request=request)
    return httpx.Response(status, json=body, headers=headers, request=request)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("token", None),
        ("lead gone", None),
        ("server", None),
        ("unknown key", RefusedInput),
        ("lead dataset", RefusedInput),
        ("webhook url", RefusedInput),
        ("deal limit", Rejected),
        ("scope", Rejected),
        ("firewall", RetryLater),
        ("unpaid", RetryLater),
        ("removed", NotSupported),
        ("not enabled", NotSupported),
    ],
)
def test_each_refusal_is_one_of_our_errors(name, error):
    status, body = REFUSALS[name]
    found = classify(answer(status, body))
    assert (type(found) if found is not None else None) is error


@pytest.mark.parametrize(
    ("name", "keys"), [("unknown key", [KEY]), ("lead dataset", ["owner_id"]), ("webhook url", ["subscription_url"])]
)
def test_refused_input_names_its_fields(name, keys):
    status, body = REFUSALS[name]
    assert classify(answer(status, body)).keys == keys


def test_a_limit_of_the_plan_keeps_the_vendors_code():
    status, body = REFUSALS["deal limit"]
    assert [one.code for one in classify(answer(status, body)).problems] == ["feature_capping_deals_limit"]


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"x-daily-ratelimit-token-remaining": "0"}, 3600),
        ({"x-daily-ratelimit-token-remaining": "0", "retry-after": "1"}, 3600),
        ({"x-ratelimit-remaining": "17"}, 3600),
        ({}, 2),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, 2),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, 5),
        ({"x-daily-ratelimit-token-remaining": "500", "x-ratelimit-remaining": "0", "retry-after": "7"}, 7),
        ({"x-ratelimit-reset": "soon", "retry-after": "never"}, 2),
        ({"x-ratelimit-reset": "1763719200"}, 60),
        # The day's budget is not used up, whatever is left in the window of all calls.
        ({"x-daily-ratelimit-token-remaining": "500", "x-ratelimit-remaining": "17"}, 2),
    ],
)
def test_a_429_waits_for_the_window_or_for_the_day(headers, after):
    error = classify(answer(429, "anything", headers))
    assert isinstance(error, RetryLater)
    assert (error.after_seconds, error.lane_wide) == (after, True)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"x-daily-ratelimit-token-remaining": "0"}, 3600),
        ({"x-daily-ratelimit-token-remaining": "500", "x-ratelimit-remaining": "70"}, 2),
        # The window of searches is narrower than the one that the header may speak of: unsure, so a while, not an hour.
        ({"x-ratelimit-remaining": "70"}, 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}, 2),
    ],
)
def test_a_429_of_a_search_is_not_taken_for_an_empty_day(headers, after):
    error = classify(answer(429, "anything", headers, method="GET", path="/api/v2/persons/search"))
    assert (error.after_seconds, error.lane_wide) == (after, True)


def test_a_firewall_page_stops_the_whole_lane_for_long():
    error = classify(answer(403, REFUSALS["firewall"][1]))
    assert error.after_seconds >= 600
    assert error.lane_wide
