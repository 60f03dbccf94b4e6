"""Signatures are checked by the library as an independent receiver would."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from gateway.webhooks.signing import new_secret, sign

ASCII = b'{"id":"evt_1","type":"signup.accepted"}'
OTHER = '{"name":"Jana Nováková, Zürich ☂"}'.encode()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("body", [ASCII, OTHER], ids=["ascii", "non-ascii"])
def test_a_receiver_with_the_library_accepts_what_we_sign(body: bytes):
    secret = new_secret()
    assert Webhook(secret).verify(body, sign("evt_1", body, [secret], now()))


def test_the_signature_is_hmac_sha256_over_id_timestamp_and_the_exact_bytes():
    key = bytes(range(32))
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = sign("evt_1", OTHER, [secret], datetime(2026, 3, 2, 9, 14, 5, 987654, tzinfo=UTC))
    assert headers["webhook-timestamp"] == "1772442845"
    expected = hmac.new(key, b"evt_1.1772442845." + OTHER, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_an_aware_time_of_another_zone_is_the_same_instant():
    secret = new_secret()
    instant = now()
    elsewhere = instant.astimezone(timezone(timedelta(hours=-5)))
    assert sign("evt_1", ASCII, [secret], elsewhere) == sign("evt_1", ASCII, [secret], instant)
    assert Webhook(secret).verify(ASCII, sign("evt_1", ASCII, [secret], elsewhere))


def test_two_live_secrets_give_two_entries_and_each_verifies_alone():
    current, previous = new_secret(), new_secret()
    headers = sign("evt_1", ASCII, [current, previous], now())
    entries = headers["webhook-signature"].split(" ")
    assert len(entries) == 2
    for secret in (current, previous):
        assert Webhook(secret).verify(ASCII, headers)
    for secret, entry in zip((current, previous), entries, strict=True):
        assert Webhook(secret).verify(ASCII, {**headers, "webhook-signature": entry})
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(ASCII, headers)


def test_a_retry_has_the_same_id_another_timestamp_and_another_signature():
    secret = new_secret()
    first = sign("evt_1", ASCII, [secret], now() - timedelta(seconds=5))
    second = sign("evt_1", ASCII, [secret], now())
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (ASCII + b" ", {}),
        (ASCII, {"webhook-id": "evt_2"}),
        (ASCII, {"webhook-timestamp": str(int(now().timestamp()) - 1)}),
    ],
    ids=["body", "id", "timestamp"],
)
def test_whatever_is_tampered_with_is_rejected(body: bytes, changed: dict[str, str]):
    secret = new_secret()
    headers = sign("evt_1", ASCII, [secret], now())
    if "webhook-timestamp" in changed:
        changed = {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, {**headers, **changed})


def test_a_message_of_five_minutes_and_a_second_ago_is_rejected():
    secret = new_secret()
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(ASCII, sign("evt_1", ASCII, [secret], now() - timedelta(minutes=5, seconds=1)))


def test_secrets_are_32_random_bytes():
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret != new_secret()


def test_what_would_sign_wrongly_is_refused():
    secret = new_secret()
    with pytest.raises(ValueError, match="naive"):
        sign("evt_1", ASCII, [secret], datetime(2026, 3, 2))  # noqa: DTZ001
    with pytest.raises(ValueError, match="dot"):
        sign("evt.1", ASCII, [secret], now())
    with pytest.raises(ValueError, match="no secret"):
        sign("evt_1", ASCII, [], now())
