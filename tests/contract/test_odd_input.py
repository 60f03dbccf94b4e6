"""What callers may send that is odd: the gateway refuses it, and its log does not repeat it."""

import pytest
from sqlalchemy import text

from ..flows.conftest import make_world, world  # noqa: TID252 - folders of tests are no packages

__all__ = ["make_world", "world"]

NUL = [
    ("GET", "/v1/connections/a%00b", None),
    ("GET", "/v1/endpoints/%00", None),
    ("DELETE", "/v1/accounts/acme/keys/%00", None),
    ("GET", "/v1/accounts/acme/people/a%00/timeline", None),
    ("GET", "/v1/accounts?cursor=%00", None),
    ("GET", "/v1/accounts/acme/rewards?cursor=a%00", None),
    ("GET", "/v1/events?account=%00", None),
    ("PUT", "/v1/accounts/acme", {"name": "a\0b"}),
    ("PUT", "/v1/accounts/acme/campaigns/spring", {"name": "a\0b"}),
    ("POST", "/v1/accounts/acme/keys", {"name": "a\0b", "scopes": ["read"]}),
    ("POST", "/v1/endpoints", {"url": "https://host.test/", "description": "\0"}),
]


@pytest.mark.parametrize(("method", "path", "body"), NUL, ids=lambda one: str(one)[:40])
async def test_the_character_that_no_database_takes_is_refused(world, method, path, body):
    await world.account()
    answer = await world.api.request(method, path, json=body)
    assert answer.status_code in {400, 422}, answer.text
    assert "U+0000" in answer.text


async def test_a_backslash_before_u0000_is_text(world):
    assert (await world.call("PUT", "/v1/accounts/acme", {"name": r"a\u0000b"}))["name"] == r"a\u0000b"


@pytest.mark.parametrize("writes", [False, True])
async def test_an_error_of_the_database_does_not_tell_the_values(database, writes):
    async def fail(conn):
        await conn.execute(text("SELECT * FROM nowhere WHERE email = :email"), {"email": "eve@example.com"})

    async def read():
        async with database.read() as conn:
            await fail(conn)

    with pytest.raises(Exception, match="nowhere") as met:
        await (database.writer.run(fail) if writes else read())
    assert "eve@example.com" not in str(met.value)


ODD_URLS = [
    "https://[",
    "https://gateway.test:port/",
    "https://gateway.test/\u20ac",
    "https://gateway.test/\x01",
    "\x01https://gateway.test/",
    "https://gateway.test\\@evil.example/",
    "https://gateway.test@evil.example/",
    "//gateway.test/",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", ODD_URLS)
async def test_a_return_url_that_no_browser_could_be_sent_to_is_refused(world, url):
    await world.account()
    body = {"integration": "pipedrive", "return_url": url}
    problem = await world.call("POST", "/v1/accounts/acme/connections", body, expect=422)
    assert problem["problems"][0]["field"] == "return_url"
