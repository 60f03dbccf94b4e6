"""The controls over HTTP, the page, and the faults: what a person or another language does to the sandbox."""

import httpx
import pytest

from gateway_servicetitan.sandbox import create_app, create_sandbox, story


@pytest.fixture
def page(vendor):
    return httpx.AsyncClient(transport=vendor.sandbox.transport(), base_url="https://api.servicetitan.io")


async def control(page, name, **parameters):
    return await page.post(f"/_control/{name}", json=parameters)


async def test_controls_work_over_http(vendor, page):
    booking = (await vendor.book()).json()["id"]
    job = (await control(page, "convert_booking", booking=booking)).json()["result"]
    await control(page, "set_job_total", job=job["id"], total=450)
    shown = (await control(page, "set_job_status", job=job["id"], status="Completed")).json()["result"]
    assert shown["status"] == "Completed"
    assert (await vendor.get("jpm", f"jobs/{job['id']}")).json()["total"] == 450


async def test_unknown_controls_and_wrong_parameters_are_refused(page):
    answer = await control(page, "explode")
    assert answer.status_code == 404
    assert "convert_booking" in answer.json()["controls"]
    assert "tenant" not in answer.json()["controls"]
    assert (await control(page, "convert_booking")).status_code == 400
    assert (await control(page, "set_job_status", job=1, status="Moon")).status_code == 400


async def test_every_tenants_screen_escapes_what_came_from_outside(vendor, page):
    await vendor.book(name="<script>", summary="<b>\nline")
    shown = (await page.get("/")).text
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


async def test_buttons_book_dismiss_and_complete(vendor, page):
    tenant = vendor.access.tenant
    first, second = [(await vendor.book(externalId=f"x{n}")).json()["id"] for n in range(2)]

    async def click(action, record, **more):
        return await page.post(f"/_screen/{action}", data={"tenant": tenant, "record": record, **more})

    assert (await click("convert", first)).status_code == 303
    job = vendor.sandbox.tenant().bookings[first].job
    await click("total", job, total="99.50")
    await click("status", job, status="Completed")
    await click("dismiss", second)
    assert vendor.sandbox.tenant().jobs[job].status == "Completed"
    assert str(vendor.sandbox.tenant().jobs[job].total) == "99.50"
    assert vendor.sandbox.tenant().bookings[second].status == "Dismissed"
    assert (await click("explode", first)).status_code == 400
    assert (await click("status", job, status="Moon")).status_code == 400


async def test_reset_begins_anew(vendor, page):
    await vendor.book()
    await control(page, "reset")
    assert vendor.sandbox.bookings() == []
    assert len(vendor.sandbox.tenant().customers) == 3


@pytest.mark.parametrize(
    ("strike", "error"),
    [
        (lambda sandbox: sandbox.lose_answer(match="/bookings$"), httpx.ReadError),
        (lambda sandbox: sandbox.lose_answer(match="/bookings$", timeout=True), httpx.ReadTimeout),
        (lambda sandbox: sandbox.cut_answer(match="/bookings$"), httpx.RemoteProtocolError),
    ],
)
async def test_a_lost_answer_is_lost_after_the_write(vendor, strike, error):
    await vendor.get("crm", "customers")
    strike(vendor.sandbox)
    with pytest.raises(error):
        await vendor.book()
    assert len(vendor.sandbox.bookings()) == 1


async def test_a_failed_call_does_nothing_and_has_the_vendors_body(vendor):
    await vendor.get("crm", "customers")
    vendor.sandbox.fail_next(503, match="/bookings$")
    answer = await vendor.book()
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert vendor.sandbox.bookings() == []


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="Unknown options"):
        create_sandbox(colour="red")


def test_a_served_sandbox_has_allowed_the_app():
    assert create_app(base_url="http://127.0.0.1:1").state.sandbox.tenant().access


def test_the_story_begins_with_a_tenant_that_the_app_does_not_list():
    told = story("http://127.0.0.1:1", "http://127.0.0.1:2/callback")
    with pytest.raises(ValueError, match="add_to_app"):
        told.fill_in("finalise")
    assert "adds tenant" in told.let_in()
    assert set(told.fill_in("finalise")) == {"client_id", "client_secret", "booking_provider"}
    assert told.fill_in("tenant") == {"tenant": "123456789"}
