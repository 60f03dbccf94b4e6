"""What an attempt log may show."""

import httpx
import pytest

from gateway.flows.connections.redaction import BODY_CHARACTERS, WINDOW_BYTES, Redactor

REDACTOR = Redactor(["s3cr3t-value", "short"])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("fiona@example.com", "f***@example.com"),
        ("Fiona <fiona.friend+crm@mail.example.co.uk>, x", "Fiona <f***@mail.example.co.uk>, x"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "***", "n": 1}'),
        ('{"api_key":12345,"a":{"client_secret":"x\\"y"}}', '{"api_key":"***","a":{"client_secret":"***"}}'),
        ("grant_type=refresh_token&refresh_token=abc&x=1", "grant_type=refresh_token&refresh_token=***&x=1"),
        ("see s3cr3t-value here", "see *** here"),
        ("a short word stays", "a short word stays"),
        ("user@localhost", "user@localhost"),
    ],
)
def test_secrets_and_addresses_are_taken_out(given, shown):
    assert REDACTOR.text(given) == shown


def test_a_secret_on_the_edge_of_the_cut_is_not_half_shown():
    text = "x" * (BODY_CHARACTERS - 5) + "fiona.friend@example.com" + "y" * 100
    assert "fiona" not in REDACTOR.body(text.encode())


@pytest.mark.parametrize("hidden", ["fiona.friend@example.com", "s3cr3t-value", '"token":"fiona s3c\\" friend"'])
def test_nothing_is_half_shown_where_the_reading_of_a_long_body_ends(hidden):
    for place in range(WINDOW_BYTES - 50, WINDOW_BYTES + 450):
        begin = '{"password":"' + "x" * 7_000 + '",'  # three characters when it is shown: the end of the window is near
        text = begin + "." * (place - len(begin)) + hidden + "y" * 10_000
        shown = REDACTOR.body(text.encode())
        assert not any(part in shown for part in ("iona", "friend", "s3cr", "xxxx")), place
        assert shown.endswith(f"… ({len(text)} bytes)")


def test_a_letter_of_many_bytes_is_not_broken_where_the_reading_ends():
    for shift in range(4):
        assert REDACTOR.body(b"a" * shift + "😀".encode() * 5_000).startswith("a" * shift + "😀")


def test_headers_are_never_shown_and_bytes_are_counted():
    request = httpx.Request(
        "POST", "https://a.test/x?term=fiona%40example.com", headers={"authorization": "Bearer t"}, content=b"\xff\xfe"
    )
    response = httpx.Response(200, headers={"set-cookie": "sid=1"}, content=b'{"token":"t"}', request=request)
    shown = REDACTOR.exchange(request, response, None)
    assert shown == 'POST a.test/x?term=f***@example.com\n> <2 bytes>\n< 200 {"token":"***"}'


def test_an_error_takes_the_place_of_an_answer():
    request = httpx.Request("GET", "https://a.test/x")
    assert REDACTOR.exchange(request, None, "ReadTimeout('s3cr3t-value')") == "GET a.test/x\n! ReadTimeout('***')"
