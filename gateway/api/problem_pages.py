"""``/problems/{code}``: what the ``type`` of a problem document points to."""

from litestar import get
from litestar.params import FromPath

from gateway.errors import PROBLEMS, not_found
from gateway_schemas.problem import ProblemPage


@get("/problems/{code:str}", tags=["problems"], opt={"public": True}, sync_to_thread=False)
def show_problem(code: FromPath[str]) -> ProblemPage:
    """Say what a problem code means, and what to do."""
    kind = PROBLEMS.get(code)
    if kind is None:
        raise not_found("problem", code)
    return ProblemPage(code=code, status=kind.status, title=kind.title, advice=kind.advice)


ROUTES = [show_problem]
