"""The manifest as data: what it names exists, and the plugin is complete."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from gateway.plugins import Integration
from gateway_pipedrive import plugin
from gateway_pipedrive.client import SEARCHES
from gateway_pipedrive.fields import BUILT_IN
from gateway_pipedrive.manifest import MANIFEST
from gateway_pipedrive.polling import FEEDS
from gateway_pipedrive.settings import PipedriveSettings


def test_the_host_takes_the_plugin():
    integration = Integration("pipedrive", plugin)
    assert integration.capabilities == {
        "Describes", "Connects", "ListsFields", "TakesSignups", "TakesStatuses", "SendsWebhooks", "AppCalls", "Polls",
        "Reads", "ReadsContacts",
    }  # fmt: skip
    assert integration.manifest is MANIFEST


def test_settings_come_from_the_environment():
    integration = Integration("pipedrive", plugin)
    integration.configure({"GATEWAY_PIPEDRIVE_CLIENT_ID": "cid", "GATEWAY_PIPEDRIVE_CLIENT_SECRET": "sec"})
    assert integration.settings_error is None
    assert integration.settings.oauth_url == "https://oauth.pipedrive.com"
    integration.configure({})
    assert "GATEWAY_PIPEDRIVE_CLIENT_ID" in integration.settings_error


def test_each_setting_is_described():
    described = {one.name.lower(): one.required for one in MANIFEST.settings}
    assert described == {one.name: one.required for one in msgspec.structs.fields(PipedriveSettings)}


def test_targets_are_named_as_people_know_them():
    assert {one.key: one.label for one in MANIFEST.targets} == {
        "contact": "Contact only",
        "lead": "Contact and lead",
        "deal": "Contact and deal",
    }


@pytest.mark.parametrize("role", ["referred", "referrer"])
@pytest.mark.parametrize("target", ["contact", "lead", "deal"])
def test_the_guide_s_required_fields_are_required(target, role):
    rows = next(one for one in MANIFEST.targets if one.key == target).rows[role]
    required = {one.label: one.required for one in rows if one.required != "never"}
    expected = {"First Name": "always", "Email": "always"}
    if target != "contact":
        expected["Title"] = "always"
    expected["Referral Code"] = "always" if role == "referrer" else "with_qualification"
    assert required == expected


def test_the_guide_s_custom_fields_are_suggested():
    rows = next(one for one in MANIFEST.targets if one.key == "lead").rows["referred"]
    suggested = {one.label: one.source for one in rows}
    assert suggested["Title"] == "campaign.name"
    for label in ("Campaign Name", "Referral Link", "Referrer First Name", "Referrer Email Address"):
        assert suggested[label]


def test_every_row_names_a_field_or_a_label_and_says_why():
    for target in MANIFEST.targets:
        for rows in target.rows.values():
            for row in rows:
                assert row.why
                assert row.record_kind in target.creates
                assert row.field is None or any(
                    one.key == row.field and one.writable for one in BUILT_IN[row.record_kind]
                )


def test_the_guide_s_four_ways_to_qualify():
    targets = {one.key: one.targets for one in MANIFEST.triggers}
    assert targets == {
        "lead_converted": ["lead"],
        "lead_converted_and_stage": ["lead"],
        "deal_stage": ["contact", "lead", "deal"],
        "deal_won": ["contact", "lead", "deal"],
    }


def test_triggers_name_kinds_parameters_and_sources_that_exist():
    sources = {one.key for one in MANIFEST.option_sources}
    kinds = {one.key for one in MANIFEST.record_kinds}
    for trigger in MANIFEST.triggers:
        assert trigger.record_kind in kinds
        assert set(trigger.through) == set(trigger.targets)
        keys = {one.key for one in trigger.parameters}
        assert {one.parameter for one in trigger.requires if one.parameter} <= keys
        for parameter in trigger.parameters:
            assert parameter.source in sources
            assert parameter.parent is None or parameter.parent in keys
    for target in MANIFEST.targets:
        assert set(target.creates) <= kinds
        assert {one.source for one in target.options} <= sources


def test_the_feeds_of_the_manifest_are_polled():
    assert tuple(one.key for one in MANIFEST.feeds) == FEEDS


def test_the_logo_is_a_small_svg_without_scripts():
    root = ET.fromstring(MANIFEST.logo_svg)
    assert root.tag.endswith("svg")
    assert {child.tag.rpartition("}")[2] for child in root} <= {"rect", "path"}
    assert len(MANIFEST.logo_svg) < 600


def test_the_manifest_is_json():
    assert msgspec.json.decode(msgspec.json.encode(MANIFEST), type=type(MANIFEST)) == MANIFEST


def test_sweeps_and_polls_take_a_twentieth_of_the_day_at_most():
    assert MANIFEST.rate_budget.sweep_share == 0.05


def test_searches_are_paced_by_their_own_window():
    assert [(one.name, one.calls, one.seconds) for one in MANIFEST.rate_budget.windows] == [(SEARCHES, 10, 2)]


def test_the_fields_that_the_guide_names_are_there_in_the_demo_company(sandbox):
    suggested = {
        row.label for target in MANIFEST.targets for rows in target.rows.values() for row in rows if row.field is None
    }
    assert suggested <= set(sandbox.demo.deal_fields)
    assert suggested <= set(sandbox.demo.person_fields)
