"""Each signup is read and checked on its own, and each problem names its field."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.flows.signups.intake import Call, hash_of, read_items
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.campaign import FormField

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FORM = [
    FormField(key="size", label="Size", type="number"),
    FormField(key="born", label="Born", type="date"),
    FormField(key="news", label="News", type="boolean"),
    FormField(key="site", label="Site", type="url"),
    FormField(key="mail", label="Mail", type="email"),
    FormField(key="why", label="Why", required=True),
    FormField(key="team", label="Team", role="referrer"),
]


def read(raw: Any, *, state: str = "live") -> Call:
    campaign = CampaignRow(
        account_id="acme",
        id="spring",
        name="S",
        state=state,
        fields=FORM,
        link_template=None,
        rewards=[],
        created_at=NOW,
        updated_at=NOW,
    )
    call = Call(account_id="acme", campaign_id="spring", link_template=None, now=NOW, expired_before=NOW)
    read_items(call, campaign, [raw], lambda email: f"hash:{email}")
    return call


def signup(fields: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    person = {"email": "Friend@Example.com", "first_name": "F", "fields": {"why": "because", **(fields or {})}}
    return {"role": "referred", "person": person, **changes}


def problems(raw: Any, **options: Any) -> list[tuple[str, str]]:
    call = read(raw, **options)
    assert bool(call.items) != bool(call.refused)
    return [(one.field, one.code) for found in call.refused.values() for one in found]


def test_what_is_right_is_read_with_normalised_addresses():
    (item,) = read(
        signup(
            {"size": 3.5, "born": "2000-02-29", "news": False, "site": "https://x.example"},
            referrer={"email": "Rita@EXAMPLE.com"},
        )
    ).items
    assert (item.email, item.email_hash) == ("friend@example.com", "hash:friend@example.com")
    assert (item.referrer_email, item.referrer_hash) == ("rita@example.com", "hash:rita@example.com")


def person(**changes: Any) -> dict[str, Any]:
    raw = signup()
    return {**raw, "person": {**raw["person"], **changes}}


@pytest.mark.parametrize("blank", ["", "  ", "\t\n", "\u00a0"])
def test_a_blank_text_is_as_if_it_had_not_been_sent(blank: str):
    assert problems(person(first_name=blank)) == [("person.first_name", "invalid")]
    assert problems(person(email=blank)) == [("person.email", "invalid")]
    assert problems(signup({"why": blank})) == [("person.fields.why", "required")]
    assert problems(signup({"news": True, "whim": blank})) == [("person.fields.whim", "unknown_field")]
    assert problems(signup(referrer={"code": blank})) == [("referrer", "required")]
    assert problems(person(middle_name=blank)) == [("person.middle_name", "unknown_field")]
    raw = {**person(last_name=blank, phone=blank, code=blank, link=blank, external_id=blank), "source": blank}
    (item,) = read({**raw, "referrer": {"code": "RITA", "last_name": blank}}).items
    given = item.signup.person
    assert (given.last_name, given.phone, given.code, given.link, given.external_id) == (None,) * 5
    assert item.signup.source == "host"
    assert item.signup.referrer is not None
    assert item.signup.referrer.last_name is None


def test_white_space_around_texts_is_left_out():
    raw = {**person(first_name=" Ann Mary ", email=" Ann@Example.com\n", code=" ANN "), "referrer": {"code": "RITA "}}
    raw["person"]["fields"] = {"why": " because ", "mail": " a@b.example "}
    (item,) = read(raw).items
    given = item.signup.person
    assert (given.first_name, item.email, given.code) == ("Ann Mary", "ann@example.com", "ANN")
    assert given.fields == {"why": "because", "mail": "a@b.example"}
    assert item.signup.referrer is not None
    assert item.signup.referrer.code == "RITA"


@pytest.mark.parametrize("raw", ["x", None, [], {"role": "referred", "person": "Ann"}, {"person": {"fields": []}}])
def test_what_is_no_signup_is_refused_as_before(raw: Any):
    assert problems(raw)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "3"),
        ("size", True),
        ("born", "29.02.2000"),
        ("born", "2001-02-29"),
        ("news", "yes"),
        ("site", "javascript:x"),
        ("mail", "me"),
        ("why", 3),
        ("why", "x" * 10_001),
    ],
)
def test_form_answers_of_the_wrong_type_are_named(key: str, value: Any):
    assert problems(signup({key: value})) == [(f"person.fields.{key}", "invalid_type")]


def test_missing_and_unknown_form_answers_are_named():
    assert problems(signup({"why": ""})) == [("person.fields.why", "required")]
    assert problems(signup({"why": None})) == [("person.fields.why", "required")]
    assert problems(signup({"team": "A"})) == [("person.fields.team", "unknown_field")]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (signup(signed_up_at="2026-03-02T09:00:00"), [("signed_up_at", "invalid")]),
        (signup(signed_up_at="2026-03-02T09:06:00Z"), [("signed_up_at", "invalid")]),
        (signup(signed_up_at="0001-01-01T00:00:00+14:00"), [("signed_up_at", "invalid")]),
        (signup(referrer={}), [("referrer", "required")]),
        (signup(referrer={"email": "no address"}), [("referrer.email", "invalid_email")]),
        (signup({"why": "a\0b"}), [("person.fields.why", "invalid")]),
        (signup(extra=1), [("extra", "unknown_field")]),
        (None, [("", "invalid")]),
    ],
)
def test_other_mistakes_are_named(raw: Any, expected: list[tuple[str, str]]):
    assert problems(raw) == expected


def test_a_draft_takes_test_signups_only():
    assert problems(signup(), state="draft") == [("test", "draft_campaign")]
    assert problems(signup(test=True), state="draft") == []


def test_the_hash_of_a_body_does_not_depend_on_its_spelling():
    assert hash_of({"a": 1, "b": {"c": 2, "d": 3}}) == hash_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})
