"""Whom a connection is connected as, and what is missing."""

from dataclasses import replace

import pytest

from gateway.sdk.errors import ReauthRequired, Rejected, RetryLater
from gateway_pipedrive.connect import verify
from plugins.pipedrive.tests.openapi import vendor_documents

NEEDED = ("base", "contacts:full", "deals:full", "leads:full")


async def test_company_user_and_currency(sandbox, connection, recorder):
    account = await verify(connection)
    company = sandbox.company()
    assert (account.identity, account.name, account.currency) == (str(company.id), "Acme", "EUR")
    assert account.user == str(sandbox.demo.admin.id)
    assert account.limitations == []
    assert account.properties["api_domain"] == "https://acme.pipedrive.com"
    assert account.properties["company_domain"] == company.domain
    assert recorder.request_problems(vendor_documents()) == []


async def test_missing_optional_scopes_are_limitations_in_words(make_sandbox, connect):
    account = await verify(connect(make_sandbox(granted_scopes=NEEDED)))
    assert [one.code for one in account.limitations] == ["no_webhooks", "no_owners"]
    assert "every 5 minutes instead of at once" in account.limitations[0].message


@pytest.mark.parametrize("missing", ["contacts:full", "deals:full", "leads:full"])
async def test_a_missing_scope_without_which_nothing_works_is_named(make_sandbox, connect, missing):
    scopes = tuple(one for one in NEEDED if one != missing)
    with pytest.raises(Rejected, match=missing) as refused:
        await verify(connect(make_sandbox(granted_scopes=scopes)))
    assert [one.field for one in refused.value.problems] == [missing]


async def test_a_user_who_is_no_administrator_is_told(sandbox, connect):
    account = await verify(connect(sandbox, user_id=sandbox.demo.seller.id))
    assert [one.code for one in account.limitations] == ["not_admin"]


async def test_a_dead_token_asks_for_authorisation(sandbox, connection):
    sandbox.expire_tokens()
    with pytest.raises(ReauthRequired):
        await verify(connection)


async def test_an_empty_budget_waits_an_hour(sandbox, connection):
    sandbox.spend_tokens()
    with pytest.raises(RetryLater) as later:
        await verify(connection)
    assert later.value.after_seconds == 3600


async def test_an_unpaid_company_waits(sandbox, connection):
    sandbox.close_company()
    with pytest.raises(RetryLater, match="not open"):
        await verify(connection)


async def test_an_override_of_the_api_s_address_is_used(sandbox, connection, recorder):
    settings = type(connection.settings)(client_id="c", client_secret="s", api_url="http://127.0.0.1:9")
    await verify(replace(connection, settings=settings))
    assert recorder.exchanges[0].request.url.host == "127.0.0.1"
