"""Who may call: app key, token, tenant, scope, booking provider and rate; each rule is broken once."""

from datetime import timedelta

import pytest

from gateway_servicetitan.sandbox.controls import ALL_SCOPES


def problem(answer):
    body = answer.json()
    assert set(body) == {"type", "title", "status", "traceId", "errors", "data"}
    assert body["status"] == answer.status_code
    return body


async def test_a_token_is_given_for_900_seconds_and_says_whose_it_is(vendor):
    answer = await vendor.ask_token()
    body = answer.json()
    assert (answer.status_code, body["expires_in"], body["token_type"]) == (200, 900, "Bearer")
    assert set(body["scope"].split()) == ALL_SCOPES
    assert body["access_token"].count(".") == 2


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_secret": "cs1.wrong"}, "invalid_client"),
        ({"client_id": "cid.wrong"}, "invalid_client"),
        ({"client_id": " "}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_the_token_server_refuses_in_its_own_words(vendor, form, error):
    answer = await vendor.ask_token(**form)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_a_token_request_is_a_form(vendor):
    answer = await vendor.http.post("https://auth.servicetitan.io/connect/token", json={})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


async def test_a_disabled_connection_gets_no_token(vendor):
    vendor.sandbox.disconnect_app()
    assert (await vendor.ask_token()).json() == {"error": "invalid_client"}


async def test_an_app_that_does_not_list_the_tenant_is_seen_by_nobody(make_sandbox):
    sandbox = make_sandbox()
    sandbox.tenant().added = False
    with pytest.raises(ValueError, match="add_to_app"):
        sandbox.connect_app()
    sandbox.add_to_app()
    assert sandbox.connect_app().client_id.startswith("cid.")


@pytest.mark.parametrize("key", [None, "ak1.other"])
async def test_the_app_key_is_needed(vendor, key):
    answer = await vendor.call("GET", "crm", vendor.bookings, headers={"ST-App-Key": key})
    assert answer.status_code == 401
    assert "Application key" in problem(answer)["title"]


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic eDp5"])
async def test_a_token_is_needed(vendor, header):
    answer = await vendor.call("GET", "crm", vendor.bookings, headers={"Authorization": header})
    assert (answer.status_code, problem(answer)["title"]) == (401, "Unauthorized")


async def test_the_word_bearer_may_be_missing(vendor):
    await vendor.get("crm", vendor.bookings)
    answer = await vendor.call("GET", "crm", vendor.bookings, headers={"Authorization": vendor.token})
    assert answer.status_code == 200


async def test_a_token_ends_after_its_time(vendor, clock):
    assert (await vendor.get("crm", vendor.bookings)).status_code == 200
    clock.advance(timedelta(seconds=900))
    assert (await vendor.get("crm", vendor.bookings)).status_code == 401


async def test_another_tenant_is_forbidden(vendor):
    other = vendor.sandbox.add_tenant("Bravo")
    answer = await vendor.call("GET", "crm", vendor.bookings, tenant=other.id)
    assert (answer.status_code, problem(answer)["status"]) == (403, 403)


@pytest.mark.parametrize(
    ("scope", "method", "module", "path"),
    [
        ("tn.crm.bookings:r", "GET", "crm", "booking-provider/77/bookings"),
        ("tn.crm.bookings:w", "POST", "crm", "booking-provider/77/bookings"),
        ("tn.crm.customers:r", "GET", "crm", "customers"),
        ("tn.crm.customers:r", "GET", "crm", "export/customers/contacts"),
        ("tn.crm.contacts:r", "GET", "crm", "contacts/contact-methods"),
        ("tn.jpm.jobs:r", "GET", "jpm", "jobs"),
        ("tn.jpm.jobtypes:r", "GET", "jpm", "job-types"),
        ("tn.acc.invoices:r", "GET", "accounting", "invoices"),
        ("tn.stt.businessunits:r", "GET", "settings", "business-units"),
        ("tn.mrk.campaigns:r", "GET", "marketing", "campaigns"),
        ("tn.jbce.callreasons:r", "GET", "jbce", "call-reasons"),
    ],
)
async def test_each_scope_is_needed(make_vendor, scope, method, module, path):
    vendor = make_vendor(scopes=sorted(ALL_SCOPES - {scope}))
    answer = await vendor.call(method, module, path, json={} if method == "POST" else None)
    assert answer.status_code == 403
    allowed = make_vendor()
    assert (await allowed.call(method, module, path, json={} if method == "POST" else None)).status_code != 403


async def test_a_scope_that_is_given_later_is_in_the_next_token(make_vendor):
    vendor = make_vendor(scopes=sorted(ALL_SCOPES - {"tn.jpm.jobs:r"}))
    assert (await vendor.get("jpm", "jobs")).status_code == 403
    vendor.sandbox.give_scope("tn.jpm.jobs:r")
    assert (await vendor.get("jpm", "jobs")).status_code == 403
    vendor.token = None
    assert (await vendor.get("jpm", "jobs")).status_code == 200


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_restricted_connection_sees_its_own_provider_alone(make_vendor, status):
    vendor = make_vendor(provider_refusal=status)
    other = vendor.sandbox.demo.other_provider.id
    assert (await vendor.get("crm", f"booking-provider/{other}/bookings")).status_code == status
    assert (await vendor.get("crm", "booking-provider/seven/bookings")).status_code == status
    assert (await vendor.get("crm", "bookings")).status_code == 403


async def test_an_unrestricted_connection_sees_all(make_vendor):
    vendor = make_vendor(restricted=False)
    for path in ("bookings", "booking-provider/77/bookings", "booking-provider/78/bookings"):
        assert (await vendor.get("crm", path)).status_code == 200


async def test_sixty_calls_a_second_and_no_more(make_vendor, clock):
    vendor = make_vendor(burst=True, retry_after=True)
    statuses = [(await vendor.get("crm", vendor.bookings)).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    clock.advance(timedelta(seconds=1))
    assert (await vendor.get("crm", vendor.bookings)).status_code == 200


async def test_unknown_paths_and_methods(vendor):
    assert (await vendor.get("crm", "nothing")).status_code == 404
    assert (await vendor.call("DELETE", "crm", vendor.bookings)).status_code == 405


async def test_a_body_that_is_no_json_is_refused(vendor):
    answer = await vendor.call(
        "POST", "crm", vendor.bookings, content=b"{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    answer = await vendor.call("POST", "crm", vendor.bookings, content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
