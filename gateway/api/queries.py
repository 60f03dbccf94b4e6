"""Query parameters: how each is called outside, and the refusal of those that a route does not have."""

from typing import Any

from litestar import Request
from litestar.enums import ParamType
from litestar.params import ParameterKwarg

from gateway.errors import invalid
from gateway_schemas.problem import FieldProblem


def names_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Return the query parameters of a request's route: the name of the argument, and how callers call it."""
    names: dict[str, str] = {}
    for argument, field in request.route_handler.parsed_fn_signature.parameters.items():
        told = field.kwarg_definition
        if not isinstance(told, ParameterKwarg) or told.param_type is not ParamType.QUERY or field.is_di_field:
            continue
        if argument not in request.path_params:
            names[argument] = told.name or argument
    return names


async def refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """Go on if the route has every query parameter that was sent: a filter that is misspelt narrows nothing.

    Routes outside the API document (the console's pages, metrics) and those with ``opt={"any_query": True}`` (vendors
    and browsers add parameters of their own) take any. A plugin's route has those of ``opt={"query": [...]}`` as well.

    Raises:
        Refused: ``invalid_input`` naming each unknown parameter, and those that there are.
    """
    handler = request.route_handler
    if not request.query_params or handler.opt.get("any_query") or not handler.resolve_include_in_schema():
        return
    known = [*names_of(request).values(), *handler.opt.get("query", ())]
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        told = f"This route has: {', '.join(known)}." if known else "This route has none."
        raise invalid(
            *(
                FieldProblem(field=name[:100], message=f"Unknown query parameter. {told}", code="unknown")
                for name in unknown
            )
        )
