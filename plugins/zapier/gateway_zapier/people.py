"""Actions about people: add a referrer, add a referred person, update one."""

from typing import Any

import msgspec

from gateway.sdk.connection import Connection
from gateway.sdk.errors import Problem, Rejected
from gateway.sdk.routes import Answer, Call
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import Campaign
from gateway_schemas.person import Person, PersonPatch
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import Signup, SignupPerson, SignupReferrer, SignupResult
from gateway_zapier import bodies, matching, values
from gateway_zapier.answers import LeadAnswer, ReferrerAnswer, UpdateAnswer, lead_answer, referrer_answer
from gateway_zapier.inputs import Given, LeadInput, PersonInput, ReferrerInput, UpdateInput

SOURCE = "zapier"

_FIELDS = {"link": "referral_link", "test": "campaign"}
"""Fields of a signup that the form calls something else."""

_LIMITS = {
    "first_name": "First name takes up to 200 characters.",
    "last_name": "Last name takes up to 200 characters.",
    "phone": "Phone takes up to 60 characters.",
    "code": "Code takes up to 100 characters without spaces.",
    "external_id": "External id takes up to 128 letters, digits and the signs . _ ~ - without spaces.",
    "link": "Referral link begins with https:// and has no spaces.",
    "email": "E-mail takes up to 320 characters.",
}
"""What a value must be, where the schema refuses it."""

_WORDS = {"draft_campaign": "This campaign is still a draft. Make it live, then run the Zap again."}


async def add_referrer(connection: Connection, call: Call) -> ReferrerAnswer | Answer:
    """Add a referrer to a campaign; who is there already is answered as they are (``200``, ``created`` false).

    Raises:
        Rejected: The campaign is not there or is a draft, or a value is wrong.
    """
    asked: ReferrerInput = call.body
    campaign = await matching.campaign_of(connection, asked.campaign)
    given = _person(asked, campaign, "referrer")
    signup = Signup(role="referrer", person=given, source=SOURCE, signed_up_at=_signed_up_at(asked))
    person, created = await _accept(connection, campaign, signup)
    body = referrer_answer(person, campaign, created=created)
    return body if created else Answer(status=200, body=body)


async def add_lead(connection: Connection, call: Call) -> LeadAnswer | Answer:
    """Add a referred person, by a referrer's code or e-mail; who is there already is answered as they are.

    Raises:
        Rejected: As of ``add_referrer``; or somebody would refer themselves.
    """
    asked: LeadInput = call.body
    campaign = await matching.campaign_of(connection, asked.campaign)
    given = _person(asked, campaign, "referred")
    signup = Signup(
        role="referred",
        person=given,
        referrer=_referrer(asked.referrer),
        source=SOURCE,
        signed_up_at=_signed_up_at(asked),
    )
    person, created = await _accept(connection, campaign, signup)
    referrer = await matching.referrer_of(connection, person)
    body = lead_answer(person, referrer, campaign, created=created)
    return body if created else Answer(status=200, body=body)


async def update_person(connection: Connection, call: Call) -> UpdateAnswer:
    """Change what a Zap knows better of a person; what is left out stays. Nobody found is no error.

    Raises:
        Rejected: Several people are meant, or a value is wrong.
    """
    asked: UpdateInput = call.body
    found = await matching.find(connection, asked.role, asked.match_by, asked.value, asked.campaign)
    campaigns = await matching.campaigns_of(connection, (person.campaign for person in found))
    if not found:
        return UpdateAnswer(matched=False)
    if len(found) > 1:
        raise matching.several(found, campaigns)
    campaign = campaigns.get(found[0].campaign)
    person = await connection.host.update_person(found[0].id, _patch(asked, campaign))
    is_lead = person.role == "referred"
    referrer = await matching.referrer_of(connection, person) if is_lead else person
    return UpdateAnswer(
        id=person.id,
        matched=True,
        person=bodies.about_body(person),
        lead=bodies.lead_body(person if is_lead else None, campaign),
        referrer=bodies.referrer_body(referrer),
        campaign=bodies.campaign_body(campaign, person.campaign),
    )


def _person(asked: PersonInput, campaign: Campaign, role: str) -> SignupPerson:
    address = values.email("email", "E-mail", asked.email)
    declared = {one.key for one in campaign.fields if one.role == role}
    key = values.clean(asked.custom_field)
    if key is not None and key not in declared:
        raise values.refuse("custom_field", "The form of this campaign has no such field.", "unknown_field")
    return SignupPerson(
        email=address,
        first_name=values.clean(asked.first_name) or address.partition("@")[0][:200],  # a CRM asks for a name
        last_name=values.clean(asked.last_name),
        phone=values.clean(asked.phone),
        external_id=values.clean(asked.external_id),
        code=values.clean(asked.code),
        link=values.clean(asked.referral_link),
        fields=_fields(key, asked.custom_value, campaign),
    )


def _referrer(given: str) -> SignupReferrer:
    text = values.needed("referrer", "Referrer", given)
    if "@" in text:
        return SignupReferrer(email=values.email("referrer", "Referrer", text))
    return SignupReferrer(code=text)


def _signed_up_at(asked: PersonInput) -> Any:
    return values.moment("signed_up_at", "Signed up at", asked.signed_up_at)


def _fields(key: str | None, value: Given, campaign: Campaign | None) -> dict[str, FieldValue]:
    """Return an answer to a form field, as the type that the campaign declares where a text can be read as it."""
    key = values.clean(key)
    text = values.clean(value if isinstance(value, str) else None if value is None else str(value))
    if key is None or text is None:
        return {}
    declared = next((one.type for one in campaign.fields if one.key == key), "text") if campaign is not None else "text"
    if declared == "boolean" and text.lower() in ("true", "yes", "1", "false", "no", "0"):
        return {key: text.lower() in ("true", "yes", "1")}
    if declared == "number":
        number = values.number("custom_value", text) or 0
        return {key: int(number) if number == int(number) else float(number)}
    return {key: text}


def _patch(asked: UpdateInput, campaign: Campaign | None) -> PersonPatch:
    given = {
        "first_name": asked.first_name,
        "last_name": asked.last_name,
        "phone": asked.phone,
        "external_id": asked.new_external_id,
        "code": asked.new_code,
        "link": asked.referral_link,
    }
    changes: dict[str, Any] = {name: text for name, one in given.items() if (text := values.clean(one)) is not None}
    if answers := _fields(asked.custom_field, asked.custom_value, campaign):
        changes["fields"] = answers
    if not changes:
        raise values.refuse("value", "Nothing is to be changed: fill in at least one field below.", "nothing_to_change")
    try:
        return msgspec.convert(changes, PersonPatch)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].rstrip("`")
        field = {"external_id": "new_external_id", "code": "new_code"}.get(name, _FIELDS.get(name, name))
        raise values.refuse(field, _LIMITS.get(name, "This value cannot be used."), "invalid") from error


async def _accept(connection: Connection, campaign: Campaign, signup: Signup) -> tuple[Person, bool]:
    result = await connection.host.accept_signup(campaign.id, signup)
    if result.problems or result.person is None:
        raise _refused(result)
    return await connection.host.person(result.person), result.outcome != "already_signed_up"


def _refused(result: SignupResult) -> Rejected:
    problems = [Problem(field=_field(one), message=_message(one), code=one.code) for one in result.problems]
    return Rejected(" ".join(one.message for one in problems), problems)


def _message(problem: FieldProblem) -> str:
    if problem.message.startswith(("Send ", "Expected ")):  # words about the value alone, which name no field
        return _LIMITS.get(problem.field.rpartition(".")[2], problem.message)
    return _WORDS.get(problem.code, problem.message)


def _field(problem: FieldProblem) -> str:
    head, _, rest = problem.field.partition(".")
    if head == "referrer":
        return "referrer"
    if rest.startswith("fields."):
        return "custom_value"
    name = rest if head == "person" else head
    return _FIELDS.get(name, name)
