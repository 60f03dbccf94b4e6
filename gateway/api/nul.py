"""Refuse the character U+0000, which PostgreSQL cannot store, in one place for every route."""

from typing import Any

import msgspec
from litestar import Request

from gateway.errors import Refused, invalid
from gateway.flows.signups.intake import nul_in
from gateway_schemas.problem import FieldProblem

MESSAGE = "Leave out the character U+0000; it cannot be stored."


async def refuse_nul(request: Request[Any, Any, Any]) -> None:
    """Go on if path, query and typed body hold no U+0000; handlers that read the body themselves look for it there.

    Raises:
        Refused: ``invalid_request`` for the path, ``invalid_input`` naming the query parameter or the field.
    """
    if "\0" in request.scope["path"]:
        raise Refused("invalid_request", f"The path: {MESSAGE}")
    for name, value in request.query_params.multi_items():
        if "\0" in name or "\0" in str(value):
            raise invalid(FieldProblem(field=name.replace("\0", "?"), message=MESSAGE))
    if "data" in request.route_handler.parsed_fn_signature.parameters and rb"\u0000" in (body := await request.body()):
        try:
            where = nul_in(msgspec.json.decode(body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return  # the decoder of the body says what is wrong with it
        if where is not None:
            raise invalid(FieldProblem(field=where, message=MESSAGE))
