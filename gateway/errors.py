"""Refusals of the gateway: every problem code with its status and title, in one table.

Flows raise ``Refused(code, detail)``; ``api/problems.py`` turns it into an RFC 9457 document in one place.
The table is checked against ``docs/api.md``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway_schemas.problem import FieldProblem


class ProblemKind(NamedTuple):
    """What a problem code means."""

    status: int
    title: str


PROBLEMS: dict[str, ProblemKind] = {
    "invalid_request": ProblemKind(400, "The request cannot be read"),
    "invalid_input": ProblemKind(422, "Some fields are wrong"),
    "unauthenticated": ProblemKind(401, "The key is missing, wrong or revoked"),
    "missing_scope": ProblemKind(403, "The key lacks a scope"),
    "host_key_required": ProblemKind(403, "Only a host key may do this"),
    "not_found": ProblemKind(404, "There is no such resource"),
    "method_not_allowed": ProblemKind(405, "This resource has no such method"),
    "not_acceptable": ProblemKind(406, "This representation is not offered"),
    "too_large": ProblemKind(413, "The body is too large"),
    "unsupported_media_type": ProblemKind(415, "The body must be JSON"),
    "unknown_integration": ProblemKind(404, "No such integration is installed"),
    "integration_unavailable": ProblemKind(409, "The integration is installed but cannot be used"),
    "crm_already_connected": ProblemKind(409, "One CRM can be connected at a time"),
    "vendor_account_in_use": ProblemKind(409, "Another account is connected to this vendor account"),
    "other_vendor_account": ProblemKind(409, "The connection belongs to another vendor account"),
    "wrong_state": ProblemKind(409, "The resource is not in a state for this"),
    "not_connected": ProblemKind(409, "There is no active connection"),
    "not_supported": ProblemKind(409, "The integration cannot do this"),
    "ambiguous": ProblemKind(409, "The id names several resources"),
    "idempotency_conflict": ProblemKind(409, "The Idempotency-Key was used with another body"),
    "sale_conflict": ProblemKind(409, "The sale is recorded with another amount"),
    "rotation_under_way": ProblemKind(409, "A rotation is under way"),
    "feed_expired": ProblemKind(410, "Events after this position were deleted"),
    "signature_invalid": ProblemKind(401, "The call does not prove where it comes from"),
    "state_invalid": ProblemKind(400, "The authorisation was not started here, or was used already"),
    "authorisation_denied": ProblemKind(400, "The authorisation was denied"),
    "missing_vendor_scope": ProblemKind(409, "The vendor did not grant a scope that is needed"),
    "vendor_refused": ProblemKind(502, "The vendor refused"),
    "vendor_unavailable": ProblemKind(503, "The vendor cannot be reached now"),
    "needs_reauth": ProblemKind(409, "The connection must be authorised again"),
    "misconfigured": ProblemKind(500, "The gateway's settings for this integration are wrong"),
    "overloaded": ProblemKind(503, "The gateway is busy; nothing was accepted"),
    "storage_unavailable": ProblemKind(503, "The database does not take writes; nothing was accepted"),
    "rate_limited": ProblemKind(429, "Too many requests"),
    "internal": ProblemKind(500, "The gateway failed"),
}


class Refused(Exception):
    """The gateway refuses a request, and says why and what to do.

    Args:
        code: A key of ``PROBLEMS``.
        detail: What happened here and what to do now.
        problems: One entry a field.
        retry_after: Seconds, for 429 and 503.
    """

    def __init__(
        self, code: str, detail: str, problems: Sequence[FieldProblem] = (), *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.problems = list(problems)
        self.retry_after = retry_after


def not_found(what: str, identifier: str) -> Refused:
    """Return the refusal for something that is not there, or belongs to another account."""
    return Refused("not_found", f"There is no {what} {identifier!r} here.")


def invalid(*problems: FieldProblem) -> Refused:
    """Return the refusal of an input, naming each field."""
    named = ", ".join(problem.field for problem in problems)
    return Refused("invalid_input", f"Correct and send again: {named}.", problems)


def field_problem(error: msgspec.ValidationError) -> FieldProblem:
    """Name the field that msgspec refused.

    Its message ends with the path (``- at `$.person.email` ``), or names the unknown or missing field.
    """
    message, _, path = str(error).partition(" - at `$")
    field = path.removesuffix("`").lstrip(".")
    if "field `" in message:
        named = message.partition("field `")[2].partition("`")[0]
        field = f"{field}.{named}" if field else named
    return FieldProblem(field=field, message=message)
