"""Cookies by the address that the gateway has: what the browser holds each to."""

import pytest

from gateway.flows import cookies
from gateway.flows.connections import browsers
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("public_url", "prefix", "secure"),
    [
        ("https://gateway.example", "__Host-", "; Secure"),
        ("http://127.0.0.1:8000", "__Host-", "; Secure"),  # browsers take this machine for safe
        ("http://localhost:8000", "__Host-", "; Secure"),
        ("http://gateway.lan:8000", "", ""),  # for trying out alone
    ],
)
def test_a_cookie_is_secure_wherever_browsers_allow_it(public_url, prefix, secure):
    settings = Settings(public_url=public_url)
    given = cookies.header(settings, "one", "token", max_age=900)
    assert given == f"{prefix}one=token; Max-Age=900; Path=/; HttpOnly{secure}; SameSite=Lax"
    framed = cookies.header(settings, "one", "token", max_age=0, in_frames=True)
    assert framed == f"{prefix}one=token; Max-Age=0; Path=/; HttpOnly{secure}; SameSite=None; Partitioned"


def test_a_state_tells_nothing_of_the_proof_that_it_is_made_from():
    one, other = browsers.new_proof(), browsers.new_proof()
    assert browsers.state_of(one) == browsers.state_of(one) != browsers.state_of(other)
    assert one not in browsers.state_of(one)
    assert browsers.is_proof(one)
    assert not browsers.is_proof(f"{one}; Domain=example.com")
    assert not browsers.is_proof(f"{one}\n")
