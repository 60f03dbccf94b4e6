"""The ``type`` of a problem document leads to a page that says what to do."""

import msgspec
import pytest
from litestar import Litestar, Request, get
from litestar.testing import TestClient

from gateway.api.problem_pages import ROUTES
from gateway.api.problems import problem_response, refused_for
from gateway.errors import PROBLEMS, Refused


@pytest.fixture(scope="module")
def client():
    @get("/refuse/{code:str}", sync_to_thread=False)
    def refuse(request: Request) -> None:
        raise Refused(request.path_params["code"], "Said here.", retry_after=1.2)

    app = Litestar([*ROUTES, refuse], exception_handlers={Exception: problem_response}, logging_config=None)
    with TestClient(app) as made:
        yield made


@pytest.mark.parametrize("code", PROBLEMS)
def test_each_problem_leads_to_its_page(client, code):
    answer = client.get(f"/refuse/{code}")
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "2"
    assert (answer.status_code, document["status"], document["code"]) == (PROBLEMS[code].status,) * 2 + (code,)
    page = client.get(document["type"]).json()
    assert page == {"code": code, **PROBLEMS[code]._asdict()}


def test_an_unknown_problem_is_not_found(client):
    assert client.get("/problems/nope").json()["code"] == "not_found"


def test_a_body_that_is_not_json_is_a_refusal_and_no_failure():
    broken = msgspec.DecodeError("JSON is malformed: invalid character (byte 3)")
    refused = refused_for(broken)
    assert refused.code == "invalid_request"
    assert "byte 3" in refused.detail
