"""Webhooks for all tenants: proven by the portal's key, read into hints, and known again by their occurrence."""

import base64
import hashlib
import hmac
import json

import pytest

from gateway.sdk.errors import InvalidSignature
from gateway.sdk.inbound import Hint, InboundRequest
from gateway_servicetitan.settings import ServiceTitanSettings
from gateway_servicetitan.webhooks import message_id, read, verify

KEY = "0123456789abcdef0123456789abcdef"
SIGNED = ServiceTitanSettings(app_key="ak1", webhook_key=KEY)


def call(body=b"{}", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return InboundRequest(method="POST", headers=headers, query={}, body=raw)


def digest(body=b"{}", key=KEY):
    return hmac.new(key.encode(), body, hashlib.sha256)


@pytest.mark.parametrize(
    "signature",
    [
        digest().hexdigest(),
        digest().hexdigest().upper(),
        f"sha256={digest().hexdigest()}",
        base64.b64encode(digest().digest()).decode(),
    ],
)
def test_hex_and_base64_are_both_understood(signature):
    verify(SIGNED, call(**{"x-servicetitan-signature": signature}))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-servicetitan-signature": ""},
        {"x-servicetitan-signature": digest(b"{} ").hexdigest()},
        {"x-servicetitan-signature": digest(key="f" * 32).hexdigest()},
        {"x-servicetitan-signature": "not hex, not base64"},
        {"x-st-signature": digest().hexdigest()},
    ],
)
def test_a_missing_or_wrong_signature_is_refused(headers):
    with pytest.raises(InvalidSignature):
        verify(SIGNED, call(**headers))


def test_the_name_of_the_header_is_a_setting():
    settings = ServiceTitanSettings(app_key="ak1", webhook_key=KEY, webhook_header="X-ST-Signature")
    verify(settings, call(**{"x-st-signature": digest().hexdigest()}))


def test_without_a_key_the_url_alone_proves():
    verify(ServiceTitanSettings(app_key="ak1"), call())


def event(kind, data, **more):
    return {"specversion": "1.0", "id": "d1", "type": kind, "userassignedid": "o1", "data": data, **more}


@pytest.mark.parametrize(
    ("data", "refs"),
    [
        ({"booking": {"id": 5, "jobId": None}}, [("booking", "5")]),
        ({"booking": {"id": 5, "jobId": 8}}, [("booking", "5"), ("job", "8")]),
        ({"job": {"id": 8, "bookingId": 5}}, [("booking", "5"), ("job", "8")]),
        ({"job": {"id": 8, "bookingId": None}}, [("job", "8")]),
        ({"invoice": {"id": 9, "job": {"id": 8}}}, [("job", "8")]),
        ({"appointment": {"id": 9, "jobId": 8}}, [("job", "8")]),
    ],
)
def test_a_hint_names_the_tenant_and_what_to_look_at(data, refs):
    assert read(call(event("tn.any", {**data, "tenantId": 77}))) == [Hint(identity="77", refs=refs)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        {"type": 1},
        event("tn.crm.lead-created", {"lead": {"id": 1}, "tenantId": 77}),
        event("tn.crm.booking-updated", {"booking": {"id": 5}}),
        event("tn.crm.booking-updated", {"booking": "5", "tenantId": 77}),
        event("tn.crm.booking-updated", {"booking": {"id": True}, "tenantId": 77}),
        event("tn.crm.booking-updated", None),
    ],
)
def test_what_is_unknown_says_nothing(body):
    assert read(call(body)) == []


def test_the_occurrence_and_not_the_delivery_is_known_again():
    first = call(event("tn.crm.booking-updated", {}))
    again = call(event("tn.crm.booking-updated", {}, id="d2"))
    assert message_id(first) == message_id(again) == "o1"
    assert message_id(call(b"")) is None
