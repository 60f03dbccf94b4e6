"""The dry run over a toy CRM: exact payloads, the verdict on duplicates, every problem, and nothing written."""

import msgspec
import pytest

from gateway.flows.campaigns import preview as previews
from gateway.flows.campaigns.samples import REFERENCE
from gateway.flows.signups import signup
from gateway.storage import people
from gateway_schemas.campaign import PreviewInput
from gateway_schemas.signup import Signup, SignupPerson, SignupReferrer

from .toy_crm import open_toy

PREVIEW = "/accounts/acme/campaigns/spring/setups/referred/preview"
JANE = {"email": "Jane@Example.com", "first_name": "Jane", "last_name": "Doe", "code": "JANE1"}


@pytest.fixture
async def toy(database_url, clock):
    async with open_toy(database_url, clock) as opened:
        yield opened


async def test_an_empty_preview_makes_a_whole_signup_up(toy):
    await toy.account()
    await toy.connection()
    form = [
        {"key": "size", "label": "Size", "type": "number"},
        {"key": "kind", "label": "Kind", "type": "option"},
        {"key": "when", "label": "When", "type": "date"},
        {"key": "mine", "label": "Mine", "role": "referrer"},
    ]
    await toy.campaign(fields=form, state="draft")
    rows = [("f_size", "person.fields.size"), ("f_kind", "person.fields.kind"), ("f_date", "person.fields.when")]
    mapping = [{"record_kind": "lead", "field": field, "source": source} for field, source in rows]
    await toy.setup(mapping=mapping)
    found = await toy.call("POST", PREVIEW, {})
    contact, lead = found["requests"]
    assert (contact["step"], contact["method"], contact["path"]) == ("contact", "POST", "/contacts")
    assert contact["body"] == {"name": "Sam Sample", "email": "sample.person@example.com", "reference": REFERENCE}
    assert lead["body"] == {
        "f_size": 42, "f_kind": "1", "f_date": "2026-01-31", "f_code": "SAMPLE", "f_ref": "Rita Referrer",
        "contact": "0", "reference": REFERENCE,
    }  # fmt: skip
    assert found["duplicate"] == "Toy CRM has no contact with this e-mail; a new one is made."
    assert found["existing"] == []
    assert [(one["code"], one["message"]) for one in found["problems"]] == [("note", "Pushed by the toy.")]


async def test_nothing_is_written_at_the_vendor_or_here(toy):
    await toy.ready()
    before, asked = await toy.dump(), len(toy.vendor.requests)
    await toy.call("POST", PREVIEW, {"person": JANE})
    await toy.call("POST", PREVIEW, {"person": JANE, "setup": {"target": "lead", "use_suggested": True}})
    assert await toy.dump() == before
    assert len(toy.vendor.requests) > asked
    assert (toy.vendor.writes, toy.vendor.contacts, toy.vendor.leads) == ([], {}, {})


async def real_push(toy):
    """Sign Jane up and push, by the same path as any signup; return the writes that the vendor saw, and her id."""
    given = Signup(
        role="referred",
        person=SignupPerson(email="Jane@Example.com", first_name="Jane", last_name="Doe", code="JANE1"),
        referrer=SignupReferrer(email="rita@example.com", first_name="Rita"),
        source="preview",
    )
    accepted = await signup.accept_signup(toy.services, "acme", "spring", given)
    await toy.worker.drain()
    person = await toy.read(people.by_id, accepted.person)
    assert person.crm == "linked", person
    return toy.vendor.writes, accepted.person


@pytest.mark.parametrize("policy", ["fill_empty", "create"])
@pytest.mark.parametrize("existing", [0, 1, 2])
async def test_the_preview_is_byte_for_byte_what_a_real_push_sends(toy, monkeypatch, policy, existing):
    await toy.ready(duplicates=policy)
    for n in range(existing):
        toy.vendor.contacts[f"c{n + 1}"] = {"email": "jane@example.com"}
    stopped = []
    shown = previews._shown
    monkeypatch.setattr(previews, "_shown", lambda one: stopped.append(one) or shown(one))
    body = {"person": {**JANE, "id": "per_preview"}, "referrer": {"email": "rita@example.com", "first_name": "Rita"}}
    given = msgspec.convert(body, PreviewInput)
    await previews.preview(toy.services, "acme", "spring", "referred", given)
    assert toy.vendor.writes == []

    real, person = await real_push(toy)
    made = b'"contact":"0"' if policy == "create" or not existing else None
    assert [(one.method, one.path) for one in stopped] == [(method, path) for method, path, _ in real]
    for one, (_, _, content) in zip(stopped, real, strict=True):
        expected = content.replace(person.encode(), b"per_preview")
        if made is not None:  # the id of the contact that only the real push made
            expected = expected.replace(f'"contact":"c{existing + 1}"'.encode(), made)
        assert one.content == expected


@pytest.mark.parametrize(
    ("policy", "existing", "said", "requests"),
    [
        ("fill_empty", ["c1"], "a contact with this e-mail: c1. Complete the contact: Empty fields", ["PATCH", "POST"]),
        ("fill_empty", ["c1", "c2"], "contacts with this e-mail: c1, c2. Complete the contact", ["PATCH", "POST"]),
        ("create", ["c1"], "a contact with this e-mail: c1. Make a second one: Another", ["POST", "POST"]),
        ("skip", ["c1"], "Leave the contact alone: Nothing is written. It cannot qualify.", []),
        ("skip", [], "no contact with this e-mail", ["POST", "POST"]),
    ],
)
async def test_the_verdict_says_who_is_there_and_what_is_done(toy, policy, existing, said, requests):
    await toy.ready(duplicates=policy)
    for key in existing:
        toy.vendor.contacts[key] = {"email": "jane@example.com"}
    found = await toy.call("POST", PREVIEW, {"person": JANE})
    assert said in found["duplicate"]
    assert found["existing"] == existing
    assert [one["method"] for one in found["requests"]] == requests
    if requests[:1] == ["PATCH"]:
        assert found["requests"][0]["path"] == "/contacts/c1"
        assert found["requests"][1]["body"]["contact"] == "c1"


async def test_an_unsaved_setup_is_previewed_and_its_problems_named(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign()
    await toy.call("POST", PREVIEW, {}, 404)
    setup = {"target": "lead", "use_suggested": True, "mapping": [{"record_kind": "lead", "field": "x", "source": "y"}]}
    found = await toy.call("POST", PREVIEW, {"setup": setup})
    assert [(one["field"], one["code"]) for one in found["problems"]] == [
        ("mapping[0].source", "unknown_source"),
        ("mapping[0].field", "unknown_field"),
    ]
    assert found["requests"] == []
    assert toy.vendor.writes == []


async def test_what_would_be_cut_or_left_out_is_told(toy):
    await toy.account()
    await toy.connection()
    await toy.campaign(fields=[{"key": "size", "label": "Size", "type": "number"}])
    await toy.setup(mapping=[{"record_kind": "lead", "field": "f_size", "source": "person.fields.size"}])
    person = {**JANE, "last_name": "Doe-von-der-langen-Gasse", "fields": {"size": "a dozen"}}
    found = await toy.call("POST", PREVIEW, {"person": person})
    assert [one["message"] for one in found["problems"] if one["code"] == "note"] == [
        "Name was cut to 20 characters.",
        "Size: it is not a number; send digits with a point before the decimals; it was left out.",
        "Pushed by the toy.",
    ]
    assert found["requests"][0]["body"]["name"] == "Jane Doe-von-der-la…"


async def test_a_needed_value_that_the_sample_lacks_is_a_problem(toy):
    await toy.ready(qualification={"trigger": "stage", "parameters": {"stage": "2"}})
    await toy.campaign(link_template=None)
    found = await toy.call("POST", PREVIEW, {"person": {"email": "jane@example.com", "first_name": "Jane"}})
    assert [(one["field"], one["code"]) for one in found["problems"]] == [("mapping[2]", "missing_value")]
    assert found["requests"] == []


async def test_a_refusal_of_the_integration_is_a_problem(toy):
    await toy.ready()
    toy.plugin.refuses = "No more leads on this plan."
    found = await toy.call("POST", PREVIEW, {})
    assert [(one["code"], one["message"]) for one in found["problems"]] == [
        ("vendor_refused", "No more leads on this plan.")
    ]
    assert "refuses" in found["duplicate"]


async def test_a_write_outside_of_a_step_is_stopped_and_told(toy):
    await toy.ready()
    toy.plugin.writes_outside = True
    found = await toy.call("POST", PREVIEW, {})
    assert [one["code"] for one in found["problems"]] == ["unsafe_write"]
    assert toy.vendor.writes == []


async def test_two_steps_of_one_name_are_told(toy):
    await toy.ready()
    toy.plugin.names_alike = True
    found = await toy.call("POST", PREVIEW, {})
    (problem,) = found["problems"]
    assert problem["code"] == "unsafe_write"
    assert "'contact'" in problem["message"]
    assert "a name of its own" in problem["message"]
    assert toy.vendor.writes == []


async def test_a_wrong_sample_is_refused_by_field(toy):
    await toy.ready()
    assert await toy.problems("POST", PREVIEW, {"person": {"email": "jane at example"}}) == [
        ("person.email", "invalid")
    ]
    assert await toy.problems("POST", PREVIEW, {"referrer": {"email": "a@b"}}) == [("referrer.email", "invalid")]
    assert [field for field, _ in await toy.problems("POST", PREVIEW, {"person": {"colour": 1}})] == ["person.colour"]


async def test_a_preview_says_when_the_vendor_cannot_be_read(toy):
    await toy.ready()
    toy.vendor.status = 503
    assert (await toy.call("POST", PREVIEW, {}, 503))["code"] == "vendor_unavailable"
    toy.vendor.status = 401
    assert (await toy.call("POST", PREVIEW, {}, 409))["code"] == "needs_reauth"


async def test_a_referrer_is_previewed_without_a_referrer(toy):
    await toy.ready()
    await toy.setup(role="referrer")
    found = await toy.call("POST", "/accounts/acme/campaigns/spring/setups/referrer/preview", {})
    assert "f_ref" not in found["requests"][1]["body"]
