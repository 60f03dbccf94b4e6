"""Read signups as the host sends them: each is decoded and checked on its own, before anything is written. Pure."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from gateway.flows.field_problems import field_problem
from gateway.sdk.mapping import normalise_email
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import FormField
from gateway_schemas.problem import FieldProblem
from gateway_schemas.signup import Signup

MAX_TEXT = 10_000
"""Characters of one form answer."""

TEXTS = frozenset({"source"})
TEXTS_OF = {
    "person": frozenset({"email", "first_name", "last_name", "phone", "external_id", "code", "link"}),
    "referrer": frozenset({"external_id", "code", "email", "first_name", "last_name", "link"}),
}
"""Which texts of a signup are read without the white space around them."""

AHEAD = timedelta(minutes=5)
"""How far the host's clock may be ahead of ours."""


@dataclass(eq=False, slots=True, kw_only=True)
class Call:
    """One request of the host; ``refused`` holds the items that are wrong, by index.

    Attributes:
        key: The Idempotency-Key of the call, with the hash of its body.
        expired_before: Keys used before this time do not count.
    """

    account_id: str
    campaign_id: str
    link_template: str | None
    now: datetime
    expired_before: datetime
    key: str | None = None
    body_hash: str = ""
    items: "list[Item]" = field(default_factory=list)
    refused: dict[int, list[FieldProblem]] = field(default_factory=dict)


@dataclass(eq=False, slots=True, kw_only=True)
class Item:
    """One signup that can be read; e-mails are normalised, with their keyed hashes."""

    call: Call
    index: int
    signup: Signup
    email: str
    email_hash: str
    referrer_email: str | None = None
    referrer_hash: str | None = None
    body_hash: str = ""


def read_items(call: Call, campaign: CampaignRow, raw: Sequence[Any], email_hash: Callable[[str], str]) -> None:
    """Read each signup of a call into ``call.items``, or say in ``call.refused`` what is wrong with it.

    Args:
        call: The request; filled here.
        campaign: Its campaign, for the form fields and whether it is live.
        raw: Decoded JSON, one value a signup.
        email_hash: The keyed hash by which e-mails are looked up.
    """
    for index, value in enumerate(raw):
        problems: list[FieldProblem] = []
        signup = _decode(value, problems)
        email = referrer_email = None
        if signup is not None:
            email = _email("person.email", signup.person.email, problems)
            if signup.referrer is not None:
                if signup.referrer.email is not None:
                    referrer_email = _email("referrer.email", signup.referrer.email, problems)
                elif signup.referrer.external_id is None and signup.referrer.code is None:
                    problems.append(
                        _problem("referrer", "Give external_id, code or email of the referrer.", "required")
                    )
            _check_time(signup.signed_up_at, call.now, problems)
            _check_fields(signup.person.fields, [one for one in campaign.fields if one.role == signup.role], problems)
            if campaign.state == "draft" and not signup.test:
                problems.append(
                    _problem(
                        "test",
                        "The campaign is a draft: it takes test signups only. Make it live, or send test: true.",
                        "draft_campaign",
                    )
                )
        if problems or signup is None or email is None:
            call.refused[index] = problems
            continue
        item = Item(call=call, index=index, signup=signup, email=email, email_hash=email_hash(email))
        if referrer_email is not None:
            item.referrer_email, item.referrer_hash = referrer_email, email_hash(referrer_email)
        if signup.idempotency_key is not None:
            item.body_hash = hash_of(value)
        call.items.append(item)


def hash_of(value: Any) -> str:
    """Return the hash of a JSON value, the same for any order of keys and any white space."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def _problem(name: str, message: str, code: str = "invalid") -> FieldProblem:
    return FieldProblem(field=name, message=message, code=code)


def _decode(value: Any, problems: list[FieldProblem]) -> Signup | None:
    if (where := nul_in(value)) is not None:
        problems.append(_problem(where, "Leave out the character U+0000; it cannot be stored."))
        return None
    try:
        return msgspec.convert(_trimmed(value), Signup)
    except msgspec.ValidationError as error:
        problems.append(field_problem(error, Signup))
        return None


def _trimmed(value: Any) -> Any:
    """Return a signup without white space around its texts; where one is blank, it is as if it had not been sent.

    Else a blank name would be taken, refused by the CRM for good, and stand in the way of the real one. A form answer
    that is blank stays, as an empty text: its key is checked like all others.
    """
    if not isinstance(value, dict):
        return value
    trimmed = _without_blanks(value, TEXTS)
    for part, texts in TEXTS_OF.items():
        if isinstance(given := value.get(part), dict):
            trimmed[part] = _without_blanks(given, texts)
    person = trimmed.get("person")
    if isinstance(person, dict) and isinstance(fields := person.get("fields"), dict):
        person["fields"] = {key: one.strip() if isinstance(one, str) else one for key, one in fields.items()}
    return trimmed


def _without_blanks(given: dict[str, Any], texts: frozenset[str]) -> dict[str, Any]:
    trimmed = {key: one.strip() if isinstance(one, str) and key in texts else one for key, one in given.items()}
    return {key: one for key, one in trimmed.items() if one != "" or key not in texts}


def nul_in(value: Any) -> str | None:
    """Return where a JSON value holds the character U+0000, which PostgreSQL cannot store."""
    # as good as no value has it: writing the whole one as JSON is far quicker than going through it
    return _nul_in(value, "") if b"\\u0000" in msgspec.json.encode(value) else None


def _nul_in(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        return path if "\0" in value else None
    if isinstance(value, dict):
        inner = [(f"{path}.{key}".lstrip(".").replace("\0", "?"), each) for key, each in value.items()]
        named = next((where for (where, _), key in zip(inner, value, strict=True) if "\0" in key), None)
        return named or next((found for where, each in inner if (found := _nul_in(each, where)) is not None), None)
    if isinstance(value, list):
        return next(
            (found for place, each in enumerate(value) if (found := _nul_in(each, f"{path}[{place}]")) is not None),
            None,
        )
    return None


def _email(name: str, given: str, problems: list[FieldProblem]) -> str | None:
    try:
        return normalise_email(given)
    except ValueError:  # its message may repeat the address, which must not be stored with the answer
        problems.append(_problem(name, "This is not an e-mail address.", "invalid_email"))
        return None


def _check_time(given: datetime | None, now: datetime, problems: list[FieldProblem]) -> None:
    if given is None:
        return
    if given.tzinfo is None:
        problems.append(_problem("signed_up_at", "Give the time with its offset, for example 2026-03-02T09:14:05Z."))
    elif not datetime(1971, 1, 1, tzinfo=UTC) < given <= now + AHEAD:
        problems.append(_problem("signed_up_at", "The time lies in the future or too far in the past."))


def _check_fields(given: dict[str, FieldValue], declared: Sequence[FormField], problems: list[FieldProblem]) -> None:
    problems += problems_of_fields(given, declared, prefix="person.fields")
    for one in declared:
        if one.required and given.get(one.key) in (None, ""):
            problems.append(_problem(f"person.fields.{one.key}", f"{one.label} is required.", "required"))


def problems_of_fields(
    given: dict[str, FieldValue], declared: Sequence[FormField], *, prefix: str
) -> list[FieldProblem]:
    """Return what is wrong with answers to a form; that a required one is missing is not said here.

    Args:
        given: Answers by key.
        declared: The form fields of the campaign for the person's role.
        prefix: What the problems call the answers, for example ``person.fields``.
    """
    problems: list[FieldProblem] = []
    by_key = {one.key: one for one in declared}
    for key in given:
        if key not in by_key:
            known = ", ".join(sorted(by_key)) or "none"
            problems.append(
                _problem(
                    f"{prefix}.{key[:100]}",
                    f"The campaign declares no such form field for this role; it has: {known}.",
                    "unknown_field",
                )
            )
    for key, one in by_key.items():
        value = given.get(key)
        if value not in (None, "") and (wrong := _wrong(value, one)) is not None:
            problems.append(_problem(f"{prefix}.{key}", f"{one.label}: {wrong}.", "invalid_type"))
    return problems


def _wrong(value: FieldValue, one: FormField) -> str | None:
    """Return what is wrong with a form answer; the message never repeats it."""
    if one.type == "boolean":
        return None if isinstance(value, bool) else "send true or false"
    if one.type == "number":
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "send a number"
    if not isinstance(value, str):
        return "send a text"
    if len(value) > MAX_TEXT:
        return f"send at most {MAX_TEXT} characters"
    if one.type == "date":
        return None if _is_date(value) else "send a date as YYYY-MM-DD"
    if one.type == "email":
        return None if _email("", value, []) else "this is not an e-mail address"
    if one.type == "url":
        return None if value.startswith(("https://", "http://")) else "send a URL that begins with https://"
    return None


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10
