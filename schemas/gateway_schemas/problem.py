"""Errors of the HTTP API: problem documents of RFC 9457."""

from gateway_schemas.base import Output


class FieldProblem(Output, frozen=True, kw_only=True):
    """What is wrong with one field of the request, and what to do."""

    field: str
    message: str
    code: str = "invalid"


class ProblemDetails(Output, frozen=True, kw_only=True):
    """An ``application/problem+json`` document.

    Attributes:
        type: URI reference of the page that explains this problem, ``/problems/{code}`` of the gateway.
        title: The problem in a few words, the same for each occurrence.
        status: The HTTP status.
        code: Stable word for programs, also the end of ``type``.
        detail: What happened here and what to do.
        problems: One entry a field.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str | None = None
    problems: list[FieldProblem] = []


class ProblemPage(Output, frozen=True, kw_only=True):
    """What a problem code means, and what to do."""

    code: str
    status: int
    title: str
    advice: str
