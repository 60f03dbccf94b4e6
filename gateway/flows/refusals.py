"""What an exception of a plugin, of the storage or of a decoder means to whoever asked: a refusal with a code."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import Refused
from gateway.flows.field_problems import field_problem
from gateway.sdk import errors as sdk
from gateway.storage.writer import Overloaded, StorageUnavailable
from gateway_schemas.problem import FieldProblem


def meaning_of(error: Exception) -> Refused:
    """Return the refusal that an exception means; what nobody foresaw is ``internal``."""
    match error:
        case Refused():
            return error
        case Overloaded():
            return Refused("overloaded", "Send the same request again shortly.", retry_after=1)
        case StorageUnavailable():
            return Refused("storage_unavailable", "Nothing was accepted; send the same request again.", retry_after=5)
        case sdk.PluginError():
            return _said_by_a_plugin(error)
        case msgspec.ValidationError():
            return invalid_body(error)
        case msgspec.DecodeError():
            return Refused("invalid_request", f"The body is not JSON that can be read: {error}.")
        case _:
            return Refused("internal", "The failure is logged; send the same request again, it is not done twice.")


def _said_by_a_plugin(error: sdk.PluginError) -> Refused:
    match error:
        case sdk.ReauthRequired():
            return Refused("needs_reauth", f"{error}. Authorise the connection again.")
        case sdk.RetryLater():
            return Refused("vendor_unavailable", f"{error}. Try again later.", retry_after=error.after_seconds)
        case sdk.Rejected():
            found = [FieldProblem(field=one.field, message=one.message, code=one.code) for one in error.problems]
            return Refused("invalid_input" if found else "vendor_refused", str(error), found)
        case sdk.NotSupported():
            return Refused("not_supported", str(error))
        case sdk.Misconfigured():
            return Refused("misconfigured", str(error))
        case sdk.RecordGone():
            return Refused("vendor_refused", str(error))
        case _:
            return Refused("vendor_unavailable", str(error), retry_after=5)


def invalid_body(
    error: msgspec.ValidationError, called: Mapping[str, str] | None = None, kinds: Mapping[str, Any] | None = None
) -> Refused:
    """Name the field that msgspec refused.

    Args:
        error: What it said.
        called: How callers call an argument that has another name here.
        kinds: The type of each argument, the body's under ``data``.
    """
    problem = field_problem(error, None if kinds is None else _kind_of(kinds))
    if problem.field == "data" and str(error).startswith("Object missing"):
        return Refused("invalid_input", "Send a JSON body.", [FieldProblem(field="", message="The body is missing.")])
    field = "" if problem.field == "data" else problem.field.removeprefix("data.").removeprefix("data[").strip()
    field = (called or {}).get(field, field)
    return Refused(
        "invalid_input",
        f"{field or 'The body'}: {problem.message.rstrip('.')}.",
        [FieldProblem(field=field, message=problem.message)],
    )


def _kind_of(kinds: Mapping[str, Any]) -> Any:
    """Return one type with the arguments of a route as its fields, as the path in the message has them."""
    return msgspec.defstruct("Arguments", list(kinds.items()))
