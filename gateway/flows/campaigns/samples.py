"""A sample signup for a preview: what was given, and typed examples for the rest. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.errors import invalid
from gateway.sdk.mapping import MappingPerson, normalise_email
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import FormField, PreviewInput, SamplePerson, SampleReferrer, SetupInput
from gateway_schemas.manifest import Role
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field

REFERENCE = "per_00000000000000000000sample"
"""Stands for the person's id, which only a real signup gets."""

EXAMPLES: dict[str, FieldValue] = {
    "text": "Example",
    "long_text": "An example of a longer answer.",
    "number": 42,
    "date": "2026-01-31",
    "boolean": True,
    "email": "answer@example.com",
    "phone": "+12025550123",
    "url": "https://example.com/answer",
    "option": "Example",
}


def sample_person(
    given: PreviewInput,
    role: Role,
    campaign: CampaignRow,
    body: SetupInput,
    fields: Mapping[str, Sequence[Field]],
    now: datetime,
) -> MappingPerson:
    """Return the person of a preview.

    Given: taken as it is, with an e-mail and a first name, which no signup lacks. Not given: everything is made up, and
    every declared form field has an example of its type, or an option of the CRM field that it is mapped to.

    Raises:
        Refused: An e-mail is none.
    """
    person = given.person
    if person is None:
        answers = {one.key: _example(one, body, fields) for one in campaign.fields if one.role == role}
        person = SamplePerson(
            external_id="sample-1", code="SAMPLE", last_name="Sample", phone="+12025550100", fields=answers
        )
    code, link = _code_and_link(campaign, person)
    counted = 0 if role == "referrer" else None
    return MappingPerson(
        id=person.id or REFERENCE,
        role=role,
        email=_email("person.email", person.email or "sample.person@example.com"),
        first_name=person.first_name or "Sam",
        last_name=person.last_name,
        phone=person.phone,
        external_id=person.external_id,
        code=code,
        link=link,
        fields=person.fields,
        source=given.source,
        signed_up_at=given.signed_up_at or now,
        referral_count=counted,
        converted_referral_count=counted,
    )


def sample_referrer(given: PreviewInput, role: Role, campaign: CampaignRow) -> MappingPerson | None:
    """Return who referred: as given; made up for referred people when nothing at all was given; else nobody.

    Raises:
        Refused: An e-mail is none.
    """
    referrer = given.referrer
    if referrer is None and given.person is None and role == "referred":
        referrer = SampleReferrer(
            external_id="sample-2",
            code="FRIEND",
            email="rita.referrer@example.com",
            first_name="Rita",
            last_name="Referrer",
        )
    if referrer is None:
        return None
    code, link = _code_and_link(campaign, referrer)
    return MappingPerson(
        id=referrer.id or REFERENCE,
        role="referrer",
        email=None if referrer.email is None else _email("referrer.email", referrer.email),
        first_name=referrer.first_name,
        last_name=referrer.last_name,
        external_id=referrer.external_id,
        code=code,
        link=link,
    )


def _code_and_link(campaign: CampaignRow, given: SampleReferrer) -> tuple[str | None, str | None]:
    """Fill in a code and link as the campaign's template would mint them."""
    if campaign.link_template is None:
        return given.code, given.link
    code = given.code or "SAMPLE"
    return code, given.link or campaign.link_template.replace("{code}", code)


def _example(declared: FormField, body: SetupInput, fields: Mapping[str, Sequence[Field]]) -> FieldValue:
    """Return an example answer; where the CRM offers options for it, the first of them."""
    source = f"person.fields.{declared.key}"
    for row in body.mapping:
        for field in fields.get(row.record_kind, ()):
            if (
                row.source == source
                and row.field == field.key
                and field.options
                and declared.type in ("text", "option")
            ):
                return field.options[0].label
    return EXAMPLES[declared.type]


def _email(path: str, value: str) -> str:
    try:
        return normalise_email(value)
    except ValueError as error:
        raise invalid(FieldProblem(field=path, message=f"This is no e-mail address: {error}")) from error
