"""Webhooks with a proof that has parts: a good check passes, and each careless one turns the rule red."""

import asyncio
import base64
import hashlib
import hmac
import json
import types

import pytest

from gateway.sdk.errors import InvalidSignature
from gateway.testing.conformance.forging import forgeries, parts_of
from gateway.testing.conformance.run import RULES, check

from .toy import subject  # isort: skip - makes the scaffold importable
from gateway_acme import sandbox
from gateway_acme.sandbox.driver import AcmeDriver

RULE = next(rule for rule in RULES if rule.key == "refuses_forged_webhooks")
HEADER = "x-acme-signature"
KEYS = {"t", "v0", "v1"}


def signed(secret, stamp, body):
    return hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


class Parted(sandbox.Vendor):
    """Acme, had its signatures a time and two schemes, of which receivers must look at the second alone."""

    async def deliver(self):
        due, self.due = self.due, []
        for subscription, message in due:
            body, stamp = json.dumps(message).encode(), int(self.clock().timestamp())
            proof = signed(subscription["secret"].encode(), stamp, body)
            headers = {HEADER: f"t={stamp}, v0={'ab' * 32}, v1={proof}"}
            await self._http.post(subscription["url"], content=body, headers=headers)
        return len(due)


def parted(verify, unproven=("v0",)):
    class Driver(AcmeDriver):
        unproven_parts = unproven

    def driver(*, clock, http, gateway_url):
        return Driver(Parted(clock, http))

    def verify_webhook(connection, request):
        header = request.headers.get(HEADER, "")
        found = dict(one.strip().split("=", 1) for one in header.split(",") if "=" in one)
        wanted = signed(connection.inbound_secret.encode(), found.get("t", ""), request.body)
        if not verify(found, wanted):
            raise InvalidSignature("not the vendor")

    return subject(lambda: {"verify_webhook": verify_webhook}, types.SimpleNamespace(driver=driver))


def text_of(of):
    return asyncio.run(check(RULE, of)).text


def same(given, wanted):
    return hmac.compare_digest(given.encode(), wanted.encode())


def test_a_check_of_each_part_passes():
    assert text_of(parted(lambda found, wanted: same(found.get("v1", ""), wanted))) == ""


@pytest.mark.parametrize(
    ("careless", "words"),
    [
        (lambda found, wanted: "v1" not in found or found["v1"] == wanted, "a call with no proof was"),
        (
            lambda found, wanted: "t" in found and found.keys() <= KEYS and found.get("v1", wanted) == wanted,
            "no part 'v1' in x-acme-signature",
        ),
        (lambda found, wanted: found.get("v1") in (wanted, ""), "nothing in x-acme-signature, part 'v1'"),
        (lambda found, wanted: found.get("v1", "-")[:8] == wanted[:8], "one character of x-acme-signature, part 'v1'"),
        (lambda found, wanted: bool(found.get("v1")) and wanted.startswith(found["v1"]), "half of x-acme-signature"),
        (lambda found, wanted: len(found.get("v1", "")) == 64, "another value of x-acme-signature, part 't'"),
    ],
    ids=["no proof", "no v1", "an empty v1", "the first digits", "the beginning", "the look"],
)
def test_a_careless_check_is_found(careless, words):
    found = text_of(parted(careless))
    assert words in found
    assert "was answered 200, not 401" in found


def test_a_part_that_proves_nothing_must_be_named():
    found = text_of(parted(lambda found, wanted: same(found.get("v1", ""), wanted), unproven=()))
    assert "x-acme-signature, part 'v0' was answered 200, not 401; a part that proves nothing" in found


def test_a_check_of_the_first_digits_is_found():
    def verify_webhook(connection, request):
        wanted = hmac.new(connection.inbound_secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not same(request.headers.get(HEADER, "")[:8], wanted[:8]):
            raise InvalidSignature("not the vendor")

    assert "one character of x-acme-signature changed" in text_of(subject(lambda: {"verify_webhook": verify_webhook}))


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(b"0" * 31).decode(),
        base64.b64encode(b"0" * 32).decode(),
        base64.b64encode(b"0" * 33).decode(),
        base64.urlsafe_b64encode(b"0" * 32).decode().rstrip("="),
        "Basic " + base64.b64encode(b"gateway:secret").decode(),
        "sha256=" + "0a" * 32,
        "t=1700000000,v1=" + "0a" * 32,
        "v1," + base64.b64encode(b"0" * 32).decode(),
        "1700000000",
        "x",
    ],
)
def test_every_forgery_means_something_else(value):
    scheme, _, tail = value.rpartition(" ")

    def meaning(text):
        """What the most tolerant of readers makes of it."""
        last = text.rpartition(" ")[2].rpartition(",")[2].rpartition("sha256=")[2].rpartition("v1=")[2]
        return text.rpartition(last)[0], base64.urlsafe_b64decode(last.rstrip("=").ljust(-4 * (-len(last) // 4), "="))

    found = dict(forgeries("proof", value))
    assert value not in found.values()
    assert all(not text or text.startswith(scheme) for text in found.values())
    if len(tail) >= 40 and "," not in tail:
        changed = next(text for what, text in found.items() if "one character" in what)
        assert meaning(changed) != meaning(value)
        assert sum(one != other for one, other in zip(changed, value, strict=True)) == 1


def test_parts_are_told_by_their_keys():
    parts, between = parts_of('Signature keyId="a", t=1;v1=YQ==')
    assert [(one.name, one.value) for one in parts] == [("1", 'keyId="a"'), ("t", "1"), ("v1", "YQ==")]
    assert between == [",", ";"]
    assert [(one.name, one.value, one.keyed) for one in parts_of("Basic YTpi==")[0]] == [("1", "YTpi==", False)]
