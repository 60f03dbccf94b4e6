"""What the wire says becomes one of our errors: above all, whether a write may have been done."""

from datetime import UTC, datetime

import httpx
import pytest

from gateway.sdk.auth import BearerAuth
from gateway.sdk.errors import (
    Misconfigured,
    NotSupported,
    OutcomeUnknown,
    ReauthRequired,
    RecordGone,
    Rejected,
    RetryLater,
)
from gateway.sdk.http import VendorHttp, retry_after


def vendor(handler, **kwargs):
    return VendorHttp(
        httpx.AsyncClient(transport=httpx.MockTransport(handler)), base_url="https://vendor.test/api", **kwargs
    )


def answering(status, *, now=None, **kwargs):
    return vendor(lambda request: httpx.Response(status, **kwargs), now=now)


def failing(error):
    def handler(request):
        raise error("broken", request=request)

    return vendor(handler)


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (301, Misconfigured, Misconfigured),
        (400, Rejected, Rejected),
        (401, ReauthRequired, ReauthRequired),
        (402, NotSupported, NotSupported),
        (403, Rejected, Rejected),
        (404, RecordGone, RecordGone),
        (409, Rejected, Rejected),
        (410, RecordGone, RecordGone),
        (422, Rejected, Rejected),
        (429, RetryLater, RetryLater),
        (500, RetryLater, OutcomeUnknown),
        (502, RetryLater, OutcomeUnknown),
        (503, RetryLater, OutcomeUnknown),
        (504, RetryLater, OutcomeUnknown),
    ],
)
async def test_each_status_is_one_error_and_a_failed_write_is_in_doubt(status, read, write):
    with pytest.raises(read):
        await answering(status).get("/x")
    with pytest.raises(write):
        await answering(status).post("/x", json={})


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError, httpx.WriteTimeout]
)
async def test_a_write_without_a_full_answer_is_in_doubt_and_a_read_is_not(error):
    with pytest.raises(OutcomeUnknown):
        await failing(error).post("/x", json={})
    with pytest.raises(RetryLater):
        await failing(error).get("/x")


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_a_write_that_never_left_is_not_in_doubt(error):
    with pytest.raises(RetryLater):
        await failing(error).post("/x", json={})


async def test_a_cut_answer_of_2xx_is_in_doubt():
    class Cut(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b'{"success":'
            raise httpx.RemoteProtocolError("peer closed")

    with pytest.raises(OutcomeUnknown):
        await vendor(lambda request: httpx.Response(201, stream=Cut())).post("/x", json={})


async def test_a_search_by_post_may_be_said_to_read_only():
    with pytest.raises(RetryLater):
        await answering(500).post("/search", json={}, reads=True)


async def test_the_plugin_reads_a_refusal_first():
    with pytest.raises(RecordGone, match="mine"):
        await answering(400, text="x").with_base("https://vendor.test", lambda response: RecordGone("mine")).get("/x")


async def test_empty_parameters_are_left_out_and_bodies_are_json():
    def handler(request):
        assert str(request.url) == "https://vendor.test/api/x?a=1"
        assert (request.content, request.headers["content-type"]) == (b'{"b":2}', "application/json")
        return httpx.Response(200)

    await vendor(handler).post("/x", params={"a": 1, "c": None}, json={"b": 2})


@pytest.mark.parametrize("params", [None, {}, {"c": None}])
async def test_the_query_of_a_path_is_kept_where_no_parameters_are_given(params):
    """Vendors page by whole URLs."""
    seen = []

    def handler(request):
        seen.append(str(request.url))
        return httpx.Response(200)

    await vendor(handler).get("/x?cursor=abc", params=params)
    await vendor(handler).get("https://vendor.test/api/x?cursor=abc", params=params)
    assert seen == ["https://vendor.test/api/x?cursor=abc"] * 2


class Tokens:
    """A token source that counts refreshes."""

    def __init__(self):
        self.current = "old"
        self.refreshed = []

    async def token(self, *, refused=None):
        if refused is not None and refused == self.current:
            self.refreshed.append(refused)
            self.current = "new"
        return self.current


async def test_a_401_refreshes_once_and_repeats_the_write_with_its_body():
    seen = []

    def handler(request):
        seen.append((request.headers["authorization"], request.content))
        return httpx.Response(200 if request.headers["authorization"] == "Bearer new" else 401)

    tokens = Tokens()
    await vendor(handler, auth=BearerAuth(tokens)).post("/x", json={"a": 1})
    assert seen == [("Bearer old", b'{"a":1}'), ("Bearer new", b'{"a":1}')]
    assert tokens.refreshed == ["old"]


async def test_a_second_401_needs_a_person():
    tokens = Tokens()
    with pytest.raises(ReauthRequired):
        await vendor(lambda request: httpx.Response(401), auth=BearerAuth(tokens)).get("/x")
    assert tokens.refreshed == ["old"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 9),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "999999"}, 3600),
        ({"retry-after": "soon"}, 9),
        ({"retry-after": "nan"}, 9),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "today"}, 9),
    ],
)
def test_every_form_of_retry_after_is_read_and_bounded(headers, seconds):
    assert retry_after(httpx.Response(429, headers=headers), default=9) == seconds


LATER = datetime(2031, 5, 1, 12, 0, 0, tzinfo=UTC)
"""What the connection's clock says: another time than this machine's."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Thu, 01 May 2031 12:00:30 GMT"}, 30),
        ({"retry-after": "Thu, 01 May 2031 11:00:00 GMT"}, 0),
        # the vendor's clock is behind ours: what it says counts by its own time
        ({"retry-after": "Thu, 01 May 2031 11:50:30 GMT", "date": "Thu, 01 May 2031 11:50:00 GMT"}, 30),
    ],
)
@pytest.mark.parametrize(
    "reading", [None, lambda response: RetryLater("!", after_seconds=retry_after(response, default=1))]
)
async def test_a_date_to_wait_for_counts_by_the_clock_of_the_connection(headers, seconds, reading):
    http = answering(429, headers=headers, now=lambda: LATER).with_base("https://vendor.test/v2", reading)
    with pytest.raises(RetryLater) as told:
        await http.get("/x")
    assert told.value.after_seconds == seconds
