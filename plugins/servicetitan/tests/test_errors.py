"""What each refusal of the vendor means."""

import httpx
import pytest

from gateway.sdk.errors import Misconfigured, RetryLater
from gateway_servicetitan.errors import Forbidden, RefusedInput, classify


def answer(status, body=None, **headers):
    request = httpx.Request("POST", "https://api.servicetitan.io/crm/v2/tenant/1/bookings")
    if isinstance(body, str):
        return httpx.Response(status, text=body, headers=headers, request=request)
    return httpx.Response(status, json=body or {}, headers=headers, request=request)


def test_a_refused_value_is_named_with_the_vendors_words_and_trace():
    body = {"title": "Invalid.", "traceId": "00-abc-01", "errors": {"Name": ["Too long.", "Odd."], "Zip": "Missing."}}
    error = classify(answer(400, body))
    assert isinstance(error, RefusedInput)
    assert error.keys == ["Name", "Zip"]
    assert "Name: Too long. Odd. Zip: Missing. (trace 00-abc-01)" in str(error)


def test_addresses_are_masked():
    assert "@friends" not in str(classify(answer(400, {"title": "fiona@friends.test is wrong"})))


@pytest.mark.parametrize("body", ["", "<html>", "[]", {"errors": None}, {"errors": ["x"]}, {"title": None}])
def test_odd_bodies_are_read(body):
    error = classify(answer(400, body))
    assert isinstance(error, RefusedInput)
    assert "no reason was given" in str(error)


@pytest.mark.parametrize(
    "title", ["Application key not present, check ST-App-Key header value.", "Application Key is not valid"]
)
def test_the_app_key_is_the_operators_business(title):
    assert isinstance(classify(answer(401, {"title": title})), Misconfigured)


def test_another_401_is_left_to_the_common_rule():
    assert classify(answer(401, {"title": "Unauthorized"})) is None


def test_forbidden_names_the_connection():
    error = classify(answer(403, {"title": "No."}))
    assert isinstance(error, Forbidden)
    assert [one.field for one in error.problems] == ["connection"]


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 1), ({"retry-after": "30"}, 30), ({"retry-after": "0"}, 1), ({"retry-after": "x"}, 1)]
)
def test_over_the_limit_waits_as_long_as_it_says_and_a_second_at_least(headers, seconds):
    error = classify(answer(429, "slow down", **headers))
    assert isinstance(error, RetryLater)
    assert (error.after_seconds, error.lane_wide) == (seconds, True)


def test_a_conflict_is_tried_again():
    assert isinstance(classify(answer(409)), RetryLater)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_the_rest_is_left_to_the_common_rules(status):
    assert classify(answer(status)) is None
