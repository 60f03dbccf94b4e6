"""The whole guide of ServiceTitan in a real browser, against its sandbox: what customers, operators and people do."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from .browsing import HOST_KEY
from .live import live
from .scenes import FRED, RITA, Guide, connect, follow, opened, press, saved

FIRST = "Is First Time Client"


@pytest.fixture
async def world(tmp_path: Path, sqlite_template: Path):
    (tmp_path / "gateway.db").write_bytes(sqlite_template.read_bytes())
    async with live(tmp_path, "servicetitan") as world:
        await world.account(name="Acme Plumbing", currency="USD", country="US", timezone="America/Los_Angeles")
        await world.campaign()
        yield world


async def approve(world: Any, window: Any) -> None:
    """Be the operator: add the tenant in the vendor's portal, and approve it in the console."""
    page = window.page
    await page.goto(f"{world.url}/console/sign-in")
    await page.get_by_label("Host key").fill(HOST_KEY)
    await press(page, "Sign in")
    await expect(page.get_by_text("Waiting for your approval")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text=str(world.sandbox.tenant().id))).to_be_visible()
    await window.fits_everybody()
    await window.shot("servicetitan-approval")
    world.sandbox.add_to_app()
    await press(page, "Approve acme")
    await expect(page.get_by_text("Waiting for your approval")).to_be_hidden()


async def finalise(page: Any, access: Any, provider: int) -> None:
    """Paste the three values of API Application Access."""
    await page.get_by_label("Client ID").fill(access.client_id)
    await page.get_by_label("Client Secret").fill(access.client_secret)
    await page.get_by_label("Booking Provider Value").fill(str(provider))
    await press(page, "Authorize")


async def first_time_client(page: Any) -> None:
    """Set the default that the guide requires."""
    await page.get_by_label("Default field").first.select_option(label=FIRST)
    value = page.locator("#default-0")
    await expect(value.locator("option", has_text="Yes")).to_be_attached()
    await value.select_option(label="Yes")


async def test_the_whole_servicetitan_guide(world: Any, new_window: Any, record_property: Any):
    """Tenant ID, approval, finalise, set up, sync, sign up, a completed job, reward, disconnect."""
    window = await new_window()
    page = await opened(world, window)
    guide = Guide(world, window, page, "servicetitan-")
    tenant = world.sandbox.tenant()

    # 2. connect: the Tenant ID, then up to a day of waiting
    await follow(page, "Settings")
    await connect(page, "ServiceTitan")
    await expect(page.get_by_text("You see your Tenant ID in the top-right-hand corner")).to_be_visible()
    await page.get_by_label("Tenant").fill(str(tenant.id))
    await window.fits_everybody()
    await press(page, "Authorize")
    await expect(page.get_by_text(re.compile("Waiting for approval since"))).to_be_visible()
    await expect(page.get_by_text("support@referrals.example")).to_be_visible()
    await guide.look("pending")
    await follow(page, "Settings")
    card = page.get_by_role("region", name="ServiceTitan")
    await expect(card.get_by_role("link", name="Pending")).to_be_visible()

    await approve(world, await new_window())
    await page.reload()
    await card.get_by_role("link", name="Finalise").click()
    access = world.sandbox.connect_app()
    await finalise(page, access, access.provider + 900)
    provider = page.get_by_label("Booking Provider Value")
    await expect(provider).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#step-booking_provider-problem")).to_contain_text(
        "does not accept this booking provider"
    )
    await expect(page.get_by_label("Client ID")).to_have_value(access.client_id)
    assert access.client_secret not in await page.content()
    await provider.scroll_into_view_if_needed()
    await guide.look("finalise")
    await finalise(page, access, access.provider)
    await expect(page.get_by_text("Connected as")).to_be_visible()
    await guide.look("connected")

    # 3.2 the person invited
    await guide.open_setup("Person Invited")
    await page.get_by_role("radio", name="Booking", exact=True).check()
    await page.get_by_label("Qualify when").select_option(label="A booking becomes a job and the job reaches a status")
    status = page.locator('[id="parameter.status"]')
    await expect(status.locator("option", has_text="Completed")).to_be_attached()
    await status.select_option(label="Completed")
    await guide.suggested("Summary", "campaign.name")
    await press(page, "Save")
    await expect(page.get_by_text("Not saved yet: 1 thing needs your attention.")).to_be_visible()
    await expect(page.locator(".problem", has_text=FIRST)).to_be_visible()
    await first_time_client(page)
    await page.get_by_label("Qualify when").scroll_into_view_if_needed()
    await guide.look("setup")
    await press(page, "Preview")
    await expect(page.get_by_text('"isFirstTimeClient": true')).to_be_visible()
    await press(page, "Save")
    await saved(page)
    await guide.reward_a_share("10", "job:total")

    # 3.3 the person referring
    await guide.open_setup("Person Referring")
    await guide.suggested("Summary", "campaign.name")
    await first_time_client(page)
    await press(page, "Save")
    await saved(page)

    # 3.1 sync contacts; nothing is written back, and why
    await guide.doors("Select whom you want to sync")
    await press(page, "Next")
    await expect(page.get_by_text("Map the contact fields from ServiceTitan")).to_be_visible()
    await press(page, "Next")
    await expect(page.get_by_text("Referral links are not written back into ServiceTitan")).to_be_visible()
    await expect(page.get_by_text("You find all links under Users")).to_be_visible()
    await guide.look("sync-links")
    await press(page, "Next")
    await guide.start_ongoing()

    # somebody signs up; the booking becomes a job, and the job is completed
    fred = await guide.friend()
    await follow(page, "Users")
    await expect(page.get_by_text("Ada Example")).to_be_visible()
    await follow(page, "Fred Friend")
    await expect(page.get_by_text("Why not qualified yet")).to_be_visible()
    (booking,) = world.sandbox.bookings(FRED)
    assert RITA in booking.body["summary"]
    job = world.sandbox.convert_booking(booking.id)
    world.sandbox.set_job_total(job.id, 1200)
    await world.until(f"/v1/accounts/acme/people/{fred}/timeline", lambda one: "Scheduled" in str(one["why"]))
    await page.reload()
    await expect(page.get_by_text(re.compile("seen so far: Scheduled"))).to_be_visible()
    world.sandbox.set_job_status(job.id, "Completed")
    await guide.qualified(fred, "$1,200.00", "$120.00")

    # 4. disconnect, and what to do by hand
    await guide.disconnect("ServiceTitan")
    await expect(page.get_by_text("Please do by hand")).to_be_visible()
    await expect(page.get_by_text("disconnect our app there")).to_be_visible()
    await follow(page, "Integrations")
    await expect(card.get_by_role("button", name="Connect")).to_be_visible()
    guide.is_light(record_property)
