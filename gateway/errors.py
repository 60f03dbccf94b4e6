"""Refusals of the gateway: every problem code with its status and title, in one table.

Flows raise ``Refused(code, detail)``; ``api/problems.py`` turns it into an RFC 9457 document in one place.
The table is checked against ``docs/api.md``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway_schemas.problem import FieldProblem


class ProblemKind(NamedTuple):
    """What a problem code means, and what to do; ``GET /problems/{code}`` shows it."""

    status: int
    title: str
    advice: str


PROBLEMS: dict[str, ProblemKind] = {
    "invalid_request": ProblemKind(
        400, "The request cannot be read", "Send JSON that can be read; check the method, the path and the query."
    ),
    "invalid_input": ProblemKind(
        422, "Some fields are wrong", "Each entry of `problems` names a field and says what to do."
    ),
    "unauthenticated": ProblemKind(
        401, "The key is missing, wrong or revoked", "Send `Authorization: Bearer …` with a key that is valid now."
    ),
    "missing_scope": ProblemKind(403, "The key lacks a scope", "Use a key with the scope that `detail` names."),
    "host_key_required": ProblemKind(403, "Only a host key may do this", "Use a host key."),
    "forbidden_origin": ProblemKind(
        403, "Another site sent this form", "Nothing was done. Open the console's page itself and send the form there."
    ),
    "session_changed": ProblemKind(
        409, "This page belongs to another session", "Nothing was done yet. What you typed is kept: send it again."
    ),
    "changed_meanwhile": ProblemKind(
        409, "Somebody saved this in the meantime", "Nothing was saved. Look at what is saved now, then save again."
    ),
    "not_found": ProblemKind(
        404, "There is no such resource", "Check the id. A resource of another account is not there for you."
    ),
    "method_not_allowed": ProblemKind(405, "This resource has no such method", "See the OpenAPI document."),
    "not_acceptable": ProblemKind(406, "This representation is not offered", "Ask for `application/json`."),
    "too_large": ProblemKind(
        413, "The body is too large", "1 MiB a body, 8 MiB a batch of signups; send smaller batches."
    ),
    "unsupported_media_type": ProblemKind(415, "The body must be JSON", "Send `content-type: application/json`."),
    "unknown_integration": ProblemKind(
        404, "No such integration is installed", "`GET /v1/integrations` lists what is installed."
    ),
    "integration_unavailable": ProblemKind(
        409,
        "The integration is installed but cannot be used",
        "The operator must mend its settings; `gateway doctor` says which.",
    ),
    "crm_already_connected": ProblemKind(
        409,
        "One CRM can be connected at a time",
        "`detail` names the connected CRM and its state; disconnect it first.",
    ),
    "vendor_account_in_use": ProblemKind(
        409,
        "Another account is connected to this vendor account",
        "Disconnect it from the other account, or allow sharing by `GATEWAY_SHARE_VENDOR_ACCOUNTS`.",
    ),
    "other_vendor_account": ProblemKind(
        409,
        "The connection belongs to another vendor account",
        "Authorise with the vendor account that was connected first, or disconnect and connect anew.",
    ),
    "wrong_state": ProblemKind(
        409, "The resource is not in a state for this", "`detail` names the state and what leads out of it."
    ),
    "not_connected": ProblemKind(409, "There is no active connection", "Connect first."),
    "not_supported": ProblemKind(409, "The integration cannot do this", "The integration says why; see its README."),
    "ambiguous": ProblemKind(
        409, "The id names several resources", "Name it by its id; `detail` says which there are."
    ),
    "idempotency_conflict": ProblemKind(
        409, "The Idempotency-Key was used with another body", "A new request needs a new key."
    ),
    "sale_conflict": ProblemKind(
        409,
        "The sale is recorded with another amount",
        "The reference names another sale; use a new reference, or send the amount of that sale.",
    ),
    "rotation_under_way": ProblemKind(
        409, "A rotation is under way", "Wait for the old secret to lapse, or send `force`."
    ),
    "feed_expired": ProblemKind(
        410,
        "Events after this position were deleted",
        "Events after this position were deleted by retention. Read the people and "
        "rewards you care about, and go on from the position that `detail` names.",
    ),
    "signature_invalid": ProblemKind(
        401,
        "The call does not prove where it comes from",
        "For vendors: the token in the URL or the signature is wrong.",
    ),
    "state_invalid": ProblemKind(
        400, "The authorisation was not started here, or was used already", "Start connecting again from the beginning."
    ),
    "authorisation_denied": ProblemKind(400, "The authorisation was denied", "The person clicked deny; start again."),
    "missing_vendor_scope": ProblemKind(
        409, "The vendor did not grant a scope that is needed", "Grant the scope that `detail` names and connect again."
    ),
    "vendor_refused": ProblemKind(502, "The vendor refused", "`detail` says what the vendor said."),
    "vendor_unavailable": ProblemKind(503, "The vendor cannot be reached now", "Try again after `Retry-After`."),
    "needs_reauth": ProblemKind(409, "The connection must be authorised again", "Authorise the connection again."),
    "misconfigured": ProblemKind(
        500,
        "The gateway's settings for this integration are wrong",
        "The operator must mend the integration's settings.",
    ),
    "overloaded": ProblemKind(
        503,
        "The gateway is busy; nothing was accepted",
        "Nothing was accepted; send the same request again after `Retry-After`.",
    ),
    "storage_unavailable": ProblemKind(
        503,
        "The database does not take writes; nothing was accepted",
        "Nothing was accepted; send the same request again after `Retry-After`.",
    ),
    "rate_limited": ProblemKind(429, "Too many requests", "Slow down; `Retry-After` says for how long."),
    "internal": ProblemKind(500, "The gateway failed", "Logged. Send the same request again: it is not done twice."),
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
    named = ", ".join(problem.field or "the body" for problem in problems)
    return Refused("invalid_input", f"Correct and send again: {named}.", problems)
