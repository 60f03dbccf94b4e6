"""What the OpenAPI document tells of every operation alike: how it fails, and who may call it.

Litestar would tell its own error document and one key for all; here each operation is told in one place.
"""

from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from gateway_schemas.problem import ProblemDetails

_PROBLEM = {"$ref": "#/components/responses/Problem"}


def finished(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with problems as the answer to what fails, and the key and scope of each operation.

    Args:
        app: The application, whose routes say who may call them: ``opt={"scope": …}``, and no ``caller`` for public
            ones.
        document: What Litestar made of it; stays as it is.
    """
    paths = {path: dict(operations) for path, operations in document["paths"].items()}
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format not in paths:
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                told = paths[route.path_format].get(method.lower())
                if told is not None:
                    public = "caller" not in handler.parsed_fn_signature.parameters
                    paths[route.path_format][method.lower()] = _operation(told, public, handler.opt.get("scope"))
    _, schemas = msgspec.json.schema_components([ProblemDetails], ref_template="#/components/schemas/{name}")
    components = document["components"]
    return {
        **document,
        "paths": paths,
        "components": {
            **components,
            "schemas": {**schemas, **components["schemas"]},
            "responses": {
                "Problem": {
                    "description": "A problem document of RFC 9457; `code` is one of those in docs/api.md.",
                    "content": {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
                    },
                }
            },
        },
    }


def _operation(told: dict[str, Any], public: bool, scope: str | None) -> dict[str, Any]:
    responses = {status: answer for status, answer in told.get("responses", {}).items() if not status.startswith("4")}
    changed = {**told, "responses": {**responses, "4XX": _PROBLEM, "default": _PROBLEM}}
    if public:
        return {**changed, "security": []}
    if scope is None:
        return changed
    needs = "Needs a host key." if scope == "host" else f"Needs the scope `{scope}`."
    return {**changed, "x-scope": scope, "description": "\n\n".join(filter(None, (told.get("description"), needs)))}


class Document(JsonRenderPlugin):
    """Serves the finished document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        return super().render(request, finished(request.app, openapi_schema))
