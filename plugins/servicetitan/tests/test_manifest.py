"""What the integration says of itself, held to what people are promised."""

import msgspec
import pytest

from gateway.plugins import discover
from gateway.sdk.mapping import fits, sources_for
from gateway_servicetitan.fields import LINES, list_fields
from gateway_servicetitan.manifest import MANIFEST
from gateway_servicetitan.settings import RECEIVED, ServiceTitanSettings
from gateway_servicetitan.triggers import JOB_STATUSES

REQUIRED = {"Source", "Name", "Email", "Summary", "External ID", "Is First Time Client"}


def rows(role):
    (target,) = MANIFEST.targets
    return target.rows[role]


def test_it_is_discovered_with_its_capabilities():
    found = discover().get("servicetitan")
    assert found is not None
    assert found.capabilities >= {
        "Describes", "Connects", "ListsFields", "TakesSignups", "AppCalls", "Polls", "Reads", "FindsContacts",
        "ReadsContacts",
    }  # fmt: skip
    # Nothing is written back, and webhooks are set up for the app as a whole.
    assert not found.capabilities & {"TakesStatuses", "SendsWebhooks"}


@pytest.mark.parametrize("role", ["referred", "referrer"])
def test_the_guides_required_fields_are_required_for_both_roles(role):
    assert {one.label for one in rows(role) if one.required == "always"} == REQUIRED


@pytest.mark.parametrize("role", ["referred", "referrer"])
def test_every_row_says_why(role):
    assert all(one.why.endswith(".") for one in rows(role))


@pytest.mark.parametrize("role", ["referred", "referrer"])
async def test_every_suggested_row_has_a_field_that_takes_it(connection, role):
    fields = {one.key: one for one in await list_fields(connection, "booking")}
    sources = sources_for([], role)
    for row in rows(role):
        assert row.field in fields, row
        assert fields[row.field].required == (row.required == "always")
        assert row.source is None or fits(sources[row.source], fields[row.field]), row


def test_first_time_client_is_a_default_yes_or_no():
    (row,) = [one for one in rows("referred") if one.label == "Is First Time Client"]
    assert row.source is None
    assert "Yes or No" in row.why


def test_details_of_the_referrer_are_suggested_for_the_summary():
    suggested = {one.field: one.source for one in rows("referred") if (one.field or "").startswith("summary.")}
    assert suggested == {
        "summary.referrer_name": "referrer.full_name",
        "summary.referrer_email": "referrer.email",
        "summary.referrer_code": "referrer.code",
    }
    assert set(suggested) <= set(LINES)


def test_only_new_contacts_is_the_default_policy():
    assert MANIFEST.default_duplicates == "skip"
    assert [one.key for one in MANIFEST.duplicates] == ["skip", "create"]


def test_the_two_ways_to_qualify():
    assert {one.key: [it.fact for it in one.requires] for one in MANIFEST.triggers} == {
        "booking_to_job": ["converted"],
        "job_status": ["converted", "status"],
    }


def test_all_six_statuses_four_of_them_in_an_order():
    ranked = sorted((one for one in JOB_STATUSES if one.rank is not None), key=lambda one: one.rank)
    assert [one.value for one in ranked] == ["Scheduled", "Dispatched", "InProgress", "Completed"]
    assert [one.value for one in JOB_STATUSES if one.rank is None] == ["Hold", "Canceled"]


def test_the_tenant_id_is_looked_up_by_the_guides_five_steps():
    tenant, approval, finalise = MANIFEST.connect_steps
    assert [one.kind for one in (tenant, approval, finalise)] == ["form", "approval", "form"]
    assert "gear icon" in tenant.instructions[1]
    assert "Integrations > API Application Access" in tenant.instructions[2]
    assert "top-right" in tenant.instructions[3]
    # How long it takes is the operator's to say, and whom to turn to: the host adds both.
    assert not any("hours" in sentence for sentence in approval.instructions)


def test_finalise_asks_for_three_values_with_their_places():
    finalise = MANIFEST.connect_steps[2]
    assert [one.label for one in finalise.fields] == ["Client ID", "Client Secret", "Booking Provider Value"]
    assert [one.secret for one in finalise.fields] == [False, True, False]
    assert "booking-provider-tags" in finalise.fields[2].help_url
    said = " ".join(finalise.instructions)
    for words in ("Connect New App", "booking provider tag", "Allow Access", "Edit"):
        assert words in said


def test_why_links_are_not_written_back_is_said():
    assert MANIFEST.contact_sync.no_write_back is not None
    assert MANIFEST.contact_sync.no_write_back == {one.code: one.message for one in MANIFEST.cannot}["no_links_back"]
    assert MANIFEST.contact_sync.write_back == []


def test_a_sync_needs_first_name_and_email():
    assert {one.to for one in MANIFEST.contact_sync.rows if one.required} == {"person.first_name", "person.email"}


def test_limits_are_the_vendors():
    budget = MANIFEST.rate_budget
    assert (budget.burst_calls, budget.burst_seconds, budget.daily) == (60, 1, None)
    assert (MANIFEST.read_batch, MANIFEST.settle_seconds) == (50, 60)
    assert [one.key for one in MANIFEST.feeds if one.contacts] == ["contacts"]


def test_each_setting_is_described_and_secrets_stay_out_of_logs():
    assert {one.name.lower() for one in RECEIVED} == set(ServiceTitanSettings.__struct_fields__)
    assert "ak1" not in repr(ServiceTitanSettings(app_key="ak1.x", webhook_key="k" * 32))


@pytest.mark.parametrize(
    "wrong",
    [{"auth_url": "auth.example"}, {"api_url": "https://x/"}, {"webhook_key": "short"}, {"webhook_header": "a b"}, {}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**({"app_key": "x"} if wrong else {}), **wrong}, ServiceTitanSettings)
