"""The finalise checks: each wrong value is named, and what the token says of itself is read with care."""

import pytest

from gateway.sdk.errors import Misconfigured, ReauthRequired, Rejected, RetryLater
from gateway_servicetitan.connect import disconnect, verify
from gateway_servicetitan.manifest import OPTIONAL_SCOPES, REQUIRED_SCOPES
from gateway_servicetitan.sandbox.controls import ALL_SCOPES
from plugins.servicetitan.tests.openapi import vendor_documents


async def test_the_tenant_step_proves_nothing_and_calls_nobody(sandbox, connect):
    connection = connect(sandbox, credentials={"tenant": " 123456789 "})
    account = await verify(connection, "tenant")
    assert account.identity == "123456789"
    assert sandbox.front.log == []


async def test_finalise_tells_identity_scopes_and_currency(sandbox, connection, recorder):
    account = await verify(connection, "finalise")
    assert account.identity == str(sandbox.tenant().id)
    assert set(account.granted) == ALL_SCOPES
    assert (account.currency, account.limitations) == ("USD", [])
    assert recorder.request_problems(vendor_documents()) == []


async def test_values_with_blanks_around_are_taken(sandbox, connect):
    provider = sandbox.demo.provider.id
    connection = connect(sandbox, credentials={"booking_provider": f" {provider}\n"})
    assert (await verify(connection, "finalise")).identity == connection.credentials["tenant"]


async def test_a_wrong_secret_names_client_id_and_secret(sandbox, connection):
    sandbox.regenerate_secret()
    with pytest.raises(Rejected) as refused:
        await verify(connection, "finalise")
    assert [one.field for one in refused.value.problems] == ["values.client_id", "values.client_secret"]


async def test_credentials_of_another_tenant_name_the_client_id(sandbox, connect):
    connection = connect(sandbox)
    other = sandbox.add_tenant("Bravo Heating")
    connection = connect(sandbox, credentials={"tenant": str(other.id)})
    with pytest.raises(Rejected, match="another ServiceTitan tenant") as refused:
        await verify(connection, "finalise")
    assert [one.field for one in refused.value.problems] == ["values.client_id"]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_wrong_booking_provider_is_named_however_the_vendor_says_it(make_sandbox, connect, status):
    sandbox = make_sandbox(provider_refusal=status)
    connection = connect(sandbox, credentials={"booking_provider": str(sandbox.demo.other_provider.id)})
    with pytest.raises(Rejected, match="booking provider value") as refused:
        await verify(connection, "finalise")
    (problem,) = refused.value.problems
    assert problem.field == "values.booking_provider"
    advice, vendor = (problem.message.index(one) for one in ("Copy the allowed booking_provider", "was answered"))
    assert advice < vendor, "what to do comes first; the vendor's words and ids are for its support"


@pytest.mark.parametrize("scope", REQUIRED_SCOPES)
async def test_a_missing_scope_is_named(sandbox, connect, scope):
    connection = connect(sandbox, scopes=sorted(ALL_SCOPES - {scope}))
    with pytest.raises(Rejected) as refused:
        await verify(connection, "finalise")
    assert [(one.field, one.code) for one in refused.value.problems] == [(scope, "missing_scope")]


async def test_a_missing_optional_scope_is_a_limitation(sandbox, connect):
    connection = connect(sandbox, scopes=REQUIRED_SCOPES)
    account = await verify(connection, "finalise")
    assert {one.code for one in account.limitations} == {one.code for one in OPTIONAL_SCOPES.values()}
    assert account.currency is None


async def test_a_wrong_app_key_is_the_operators_business(sandbox, connect):
    connection = connect(sandbox)
    sandbox.app_key = "ak1.another"
    with pytest.raises(Misconfigured, match="GATEWAY_SERVICETITAN_APP_KEY"):
        await verify(connection, "finalise")


async def test_a_token_without_readable_claims_is_enough(make_sandbox, connect):
    sandbox = make_sandbox(token_claims=False)
    account = await verify(connect(sandbox), "finalise")
    assert (account.granted, account.limitations) == ([], [])


async def test_a_vendor_that_is_down_says_nothing_about_the_values(sandbox, connection):
    sandbox.fail_next(503, match="/bookings$")
    with pytest.raises(RetryLater):
        await verify(connection, "finalise")


async def test_a_token_that_is_refused_at_once_is_not_the_persons_fault(sandbox, connection):
    sandbox.fail_next(401, n=2, match="/bookings$")
    with pytest.raises((Misconfigured, ReauthRequired), match="app key"):
        await verify(connection, "finalise")


async def test_several_currencies_are_a_limitation(sandbox, connection):
    sandbox.add_business_unit("Canada", "CAD")
    account = await verify(connection, "finalise")
    assert account.currency is None
    assert [one.code for one in account.limitations] == ["several_currencies"]


async def test_disconnect_says_what_is_left_to_do_by_hand(sandbox, connection):
    told = await disconnect(connection)
    assert told["removed"] == []
    assert "API Application Access" in told["by_hand"][0]
    assert sandbox.front.log == []
