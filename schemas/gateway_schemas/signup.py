"""Signups: a person joined a campaign, as the host tells it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway_schemas.base import FieldValue, HostId, Input, Output
from gateway_schemas.manifest import Role
from gateway_schemas.person import Code, Email, PersonName, Url
from gateway_schemas.problem import FieldProblem

IdempotencyKey = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,255}$(?!\n)")]


class SignupPerson(Input, frozen=True, kw_only=True):
    """The person who signed up."""

    email: Email
    first_name: PersonName
    last_name: PersonName | None = None
    phone: Annotated[str, Meta(max_length=60)] | None = None
    external_id: HostId | None = None
    code: Code | None = None
    link: Url | None = None
    fields: dict[str, FieldValue] = {}


class SignupReferrer(Input, frozen=True, kw_only=True):
    """Who referred: by the host's id, the code, or the e-mail; at least one of them."""

    external_id: HostId | None = None
    code: Code | None = None
    email: Email | None = None
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    link: Url | None = None


class Signup(Input, frozen=True, kw_only=True):
    """A person joined a campaign in one of the two roles.

    Attributes:
        source: Where the signup came from, for example ``landing_page``.
        test: A marked test signup: allowed in a draft campaign, never rewarded.
        idempotency_key: The caller's name for this item of a batch.
    """

    role: Role
    person: SignupPerson
    referrer: SignupReferrer | None = None
    source: Annotated[str, Meta(max_length=200)] = "host"
    signed_up_at: datetime | None = None
    test: bool = False
    idempotency_key: IdempotencyKey | None = None


class SignupBatch(Input, frozen=True, kw_only=True):
    """Up to 1,000 signups; each is accepted or refused on its own."""

    signups: Annotated[list[Any], Meta(min_length=1, max_length=1000, description="Each a Signup.")]


SignupOutcome = Literal["accepted", "already_signed_up", "held"]


class SignupResult(Output, frozen=True, kw_only=True):
    """What became of one signup of the request: ``person`` and ``outcome``, or ``problems``."""

    index: int
    person: str | None = None
    outcome: SignupOutcome | None = None
    problems: list[FieldProblem] = []


class SignupResults(Output, frozen=True, kw_only=True):
    """The answer to a signup request, in the order of the request."""

    results: list[SignupResult]


class ReleaseInput(Input, frozen=True, kw_only=True):
    """Which held signups to release."""

    since: datetime | None = None
    campaign: HostId | None = None


class ReleaseResult(Output, frozen=True, kw_only=True):
    """How many held signups go out now."""

    released: int
