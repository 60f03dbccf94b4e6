from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk.mapping import (
    COMPATIBLE,
    SOURCES,
    Locality,
    MappingCampaign,
    MappingPerson,
    Source,
    SourceType,
    cut,
    fits,
    render,
    sources_for,
)
from gateway.sdk.values import Unfit, fit
from gateway_schemas.campaign import DefaultEntry, FormField, MappingEntry, SetupInput
from gateway_schemas.records import Field, FieldType, Option

CAMPAIGN = MappingCampaign(
    id="spring",
    name="Spring campaign",
    fields=[
        FormField(key="size", label="Company size", type="number"),
        FormField(key="story", label="Story", type="long_text"),
        FormField(key="site", label="Site", type="url"),
    ],
)
JANE = MappingPerson(
    id="per_1",
    role="referred",
    email="jane@example.com",
    first_name="Jane",
    last_name="Doe",
    phone="030 1234567",
    external_id="u-1",
    code="CODE1",
    link="https://refer.example/CODE1",
    fields={"size": 12, "story": "long " * 20, "site": "https://jane.example"},
    source="landing_page",
    signed_up_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
    referral_count=2,
    converted_referral_count=1,
)
RITA = MappingPerson(
    id="per_2",
    role="referrer",
    email="rita@example.com",
    first_name="Rita",
    code="RITA",
    external_id="u-2",
    link="https://refer.example/RITA",
)
DE = Locality(currency="EUR", country="DE")


def mapped(*rows, fields, person=JANE, referrer=RITA, defaults=(), referrer_rows=()):
    body = SetupInput(
        target="lead",
        mapping=[MappingEntry(record_kind=kind, field=key, source=source) for kind, key, source in rows],
        referrer_fields=[
            MappingEntry(record_kind=kind, field=key, source=source) for kind, key, source in referrer_rows
        ],
        defaults=[DefaultEntry(record_kind=kind, field=key, value=value) for kind, key, value in defaults],
    )
    return render(body, fields, person=person, referrer=referrer, campaign=CAMPAIGN, locality=DE)


def text(key="k", **changes):
    return Field(key=key, label=key.title(), type=changes.pop("type", "text"), **changes)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("person.first_name", "Jane"),
        ("person.last_name", "Doe"),
        ("person.full_name", "Jane Doe"),
        ("person.email", "jane@example.com"),
        ("person.phone", "030 1234567"),
        ("person.external_id", "u-1"),
        ("person.code", "CODE1"),
        ("person.link", "https://refer.example/CODE1"),
        ("person.id", "per_1"),
        ("person.referral_count", "2"),
        ("person.converted_referral_count", "1"),
        ("person.fields.size", "12"),
        ("signup.source", "landing_page"),
        ("signup.signed_up_at", "2026-03-01T09:00:00Z"),
        ("signup.role", "referred"),
        ("campaign.name", "Spring campaign"),
        ("campaign.id", "spring"),
        ("referrer.first_name", "Rita"),
        ("referrer.last_name", None),
        ("referrer.full_name", "Rita"),
        ("referrer.email", "rita@example.com"),
        ("referrer.code", "RITA"),
        ("referrer.link", "https://refer.example/RITA"),
        ("referrer.external_id", "u-2"),
        ("referrer.id", "per_2"),
    ],
)
def test_every_source_goes_into_a_text_field(source, value):
    found = mapped(("lead", "k", source), fields={"lead": [text()]})
    assert found.problems == []
    assert found.values == ({"lead": {"k": value}} if value is not None else {})


def test_the_table_above_has_every_source():
    tested = {
        mark.args[1][n][0]
        for mark in test_every_source_goes_into_a_text_field.pytestmark
        for n in range(len(mark.args[1]))
    }
    assert tested - {"person.fields.size"} == set(SOURCES)


def test_values_stand_by_record_kind():
    found = mapped(
        ("contact", "first_name", "person.first_name"),
        ("lead", "title", "campaign.name"),
        fields={"contact": [text("first_name")], "lead": [text("title")]},
    )
    assert found.values == {"contact": {"first_name": "Jane"}, "lead": {"title": "Spring campaign"}}


def test_a_source_without_a_value_leaves_its_field_out():
    found = mapped(("lead", "k", "referrer.email"), fields={"lead": [text()]}, referrer=None)
    assert (found.values, found.problems, found.notes) == ({}, [], [])


def test_a_default_steps_in_where_the_source_has_no_value():
    found = mapped(
        ("lead", "k", "referrer.email"), fields={"lead": [text()]}, referrer=None, defaults=[("lead", "k", "nobody")]
    )
    assert found.values == {"lead": {"k": "nobody"}}


def test_a_mapped_value_wins_over_the_default():
    found = mapped(("lead", "k", "person.code"), fields={"lead": [text()]}, defaults=[("lead", "k", "nobody")])
    assert found.values == {"lead": {"k": "CODE1"}}


def test_a_needed_value_that_is_missing_is_a_problem_that_names_its_row():
    found = mapped(
        ("lead", "other", "person.id"),
        ("lead", "k", "person.fields.gone"),
        fields={"lead": [text("other"), text(required=True)]},
    )
    assert [(one.field, one.code) for one in found.problems] == [("mapping[1]", "missing_value")]


def test_a_field_that_is_gone_is_a_problem():
    found = mapped(("lead", "k", "person.code"), fields={"lead": []})
    assert [(one.field, one.code) for one in found.problems] == [("mapping[0]", "unknown_field")]


def test_a_value_that_does_not_fit_is_left_out_with_a_note():
    person = MappingPerson(id="per_1", role="referred", fields={"size": "a dozen"})
    found = mapped(("lead", "k", "person.fields.size"), fields={"lead": [text(type="number")]}, person=person)
    assert (found.values, found.problems) == ({}, [])
    assert found.notes == ["K: it is not a number; send digits with a point before the decimals; it was left out."]


def test_a_value_that_does_not_fit_a_needed_field_is_a_problem():
    person = MappingPerson(id="per_1", role="referred", fields={"size": "a dozen"})
    found = mapped(
        ("lead", "k", "person.fields.size"), fields={"lead": [text(type="number", required=True)]}, person=person
    )
    assert [(one.field, one.code) for one in found.problems] == [("mapping[0]", "unfit_value")]
    assert "dozen" not in found.problems[0].message


def test_the_default_replaces_a_value_that_does_not_fit():
    person = MappingPerson(id="per_1", role="referred", fields={"size": "a dozen"})
    found = mapped(
        ("lead", "k", "person.fields.size"),
        fields={"lead": [text(type="number", required=True)]},
        person=person,
        defaults=[("lead", "k", 1)],
    )
    assert (found.values, found.problems) == ({"lead": {"k": 1}}, [])
    assert found.notes[0].endswith("its default was taken.")


def test_a_text_that_only_labels_is_cut_with_a_note():
    found = mapped(("lead", "k", "person.fields.story"), fields={"lead": [text(max_length=10)]})
    assert found.values == {"lead": {"k": "long long…"}}
    assert found.notes == ["K was cut to 10 characters."]


@pytest.mark.parametrize(
    "source", ["person.code", "person.link", "person.external_id", "person.email", "person.fields.site"]
)
def test_what_is_worthless_when_cut_is_not_cut(source):
    needed = mapped(("lead", "k", source), fields={"lead": [text(max_length=2, required=True)]})
    assert [one.code for one in needed.problems] == ["too_long"]
    optional = mapped(("lead", "k", source), fields={"lead": [text(max_length=2)]})
    assert (optional.values, optional.problems, len(optional.notes)) == ({}, [], 1)


def test_referrer_rows_are_rendered_like_others():
    found = mapped(fields={"lead": [text()]}, referrer_rows=[("lead", "k", "referrer.code")])
    assert found.values == {"lead": {"k": "RITA"}}


def test_phone_and_money_follow_the_account():
    found = mapped(
        ("contact", "phone", "person.phone"),
        ("contact", "worth", "person.fields.size"),
        fields={"contact": [text("phone", type="phone"), text("worth", type="money")]},
    )
    assert found.values["contact"]["phone"] == "+49301234567"
    assert found.values["contact"]["worth"].currency == "EUR"


def test_both_roles_may_have_a_referrer_and_each_has_the_fields_of_its_own_form():
    form = [FormField(key="a", label="A"), FormField(key="b", label="B", role="referrer", type="date")]
    referred, referrer = sources_for(form, "referred"), sources_for(form, "referrer")
    assert "referrer.email" in referred
    assert "referrer.email" in referrer
    assert "person.fields.a" in referred
    assert "person.fields.b" not in referred
    assert referrer["person.fields.b"].type == "date"


def test_every_source_type_fits_text_and_none_fits_what_we_cannot_write():
    assert set(COMPATIBLE) == set(get_args(SourceType))
    for types in COMPATIBLE.values():
        assert {"text", "long_text"} <= types <= set(get_args(FieldType)) - {"other"}


EXAMPLES = {
    "text": "Small",
    "number": 4,
    "date": "2026-01-01",
    "datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "boolean": True,
    "email": "a@example.com",
    "phone": "+12025550123",
    "url": "https://a.example",
    "option": "1",
}


@pytest.mark.parametrize("source", get_args(SourceType))
@pytest.mark.parametrize("target", [one for one in get_args(FieldType) if one != "other"])
def test_what_the_table_calls_compatible_can_be_rendered(source, target):
    if not fits(Source(source, "Source"), text(type=target)):
        return
    options = [Option(value="1", label="Small"), Option(value="4", label="Yes")]
    assert fit(EXAMPLES[source], text(type=target, options=options), DE) is not None


@given(st.text(max_size=60), st.integers(0, 50))
def test_cut_never_exceeds_its_limit(value, limit):
    shortened = cut(value, limit)
    assert len(shortened) <= max(limit, 0)
    assert len(value) > limit or shortened == value


VALUES = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=3),
)


@given(
    kind=st.sampled_from([one for one in get_args(FieldType) if one != "other"]),
    required=st.booleans(),
    value=VALUES,
    default=VALUES,
    limit=st.one_of(st.none(), st.integers(1, 10)),
)
def test_a_needed_field_has_a_value_or_a_problem_and_values_fit(kind, required, value, default, limit):
    field = Field(
        key="k", label="K", type=kind, required=required, max_length=limit, options=[Option(value="1", label="One")]
    )
    person = MappingPerson(id="per_1", role="referred", fields={"story": value})
    found = mapped(
        ("lead", "k", "person.fields.story"), fields={"lead": [field]}, person=person, defaults=[("lead", "k", default)]
    )
    there = "k" in found.values.get("lead", {})
    assert not (required and not there) or found.problems
    assert not there or not found.problems
    assert required or not found.problems
    if there:
        try:
            assert fit(found.values["lead"]["k"], field, DE) == found.values["lead"]["k"]
        except Unfit as error:
            pytest.fail(f"what was rendered does not fit: {error}")
