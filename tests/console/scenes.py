"""What the guides of all CRMs have in common: opening the console, and walking through its pages by their words."""

from typing import Any

from playwright.async_api import expect

from .live import Live
from .windows import PATIENCE, Window

HEAVY = 150_000
FRED, RITA = "fred@friend.test", "rita@referrer.test"

expect.set_options(timeout=PATIENCE)


async def opened(world: Any, window: Window) -> Any:
    """Open the console as somebody who clicked a link on the referral platform."""
    await window.page.goto(await world.link())
    await window.page.get_by_role("button", name="Open the console").click()
    await window.page.wait_for_url("**/campaigns")
    return window.page


async def press(page: Any, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).last.click()


async def connect(page: Any, name: str = "Pipedrive") -> None:
    """Click Connect under the logo."""
    await page.get_by_role("region", name=name).get_by_role("button", name="Connect", exact=True).click()


async def follow(page: Any, name: str) -> None:
    await page.get_by_role("link", name=name, exact=True).last.click()


async def saved(page: Any) -> None:
    await expect(page.get_by_text("Saved.", exact=True)).to_be_visible()


class Guide:
    """A window in which somebody follows a guide; what is looked at is usable by everybody and light."""

    def __init__(self, world: Live, window: Window, page: Any, prefix: str = "") -> None:
        self.world = world
        self.window = window
        self.page = page
        self.prefix = prefix
        self.weights: dict[str, int] = {}

    async def look(self, name: str) -> None:
        await self.window.fits_everybody()
        self.weights[name] = await self.window.weight_of_page()
        await self.window.shot(self.prefix + name)

    async def open_setup(self, role: str) -> None:
        """Campaigns, Edit Campaign, the Integration step, and the section of this role."""
        page = self.page
        await follow(page, "Campaigns")
        await follow(page, "Edit Campaign")
        await follow(page, "Integration")
        await follow(page, f"Configure settings for the {role}")

    async def suggested(self, field: str, source: str) -> None:
        await press(self.page, "Use the suggested mapping")
        await expect(self.page.get_by_label(f"Value for {field}", exact=True)).to_have_value(source)

    async def reward_a_share(self, percent: str, sale: str) -> None:
        """Rewards: a share of the sale value, and where that is read."""
        page = self.page
        await follow(page, "Rewards")
        await page.get_by_label("Kind").first.select_option(label="A share of the sale value")
        await page.get_by_label("Percent, when a share").first.fill(percent)
        await page.get_by_role("button", name="Save").first.click()
        await saved(page)
        await page.get_by_label("Object and field").select_option(value=sale)
        await page.locator("#sale-value").get_by_role("button", name="Save").click()
        await saved(page)

    async def doors(self, first: str) -> None:
        """Go through each of the three doors to the contact sync, whose first page says this."""
        page = self.page
        await follow(page, "Promote")
        await follow(page, "Generate referral links for your contacts by syncing them")
        await expect(page.get_by_text(first)).to_be_visible()
        await follow(page, "Users")
        await page.get_by_text("Add Users").click()
        await follow(page, "Sync Your CRM Contacts")
        await expect(page.get_by_text(first)).to_be_visible()
        await follow(page, "Campaigns")
        await follow(page, "Sync Your Contacts")
        await expect(page.get_by_text(first)).to_be_visible()

    async def start_ongoing(self) -> None:
        await self.page.get_by_role("switch").check()
        await self.look("sync-start")
        await press(self.page, "Start Sync")
        await expect(self.page.get_by_text("Ongoing, up to date")).to_be_visible()
        await self.look("sync")

    async def friend(self) -> str:
        """Rita signs up to share, Fred by her link; return his id when he is in the CRM."""
        rita = await self.world.signup(
            role="referrer", person={"email": RITA, "first_name": "Rita", "last_name": "Referrer"}
        )
        fred = await self.world.signup(
            role="referred",
            person={"email": FRED, "first_name": "Fred", "last_name": "Friend", "fields": {"company": "Friends Ltd"}},
            referrer={"code": rita["code"]},
            source="landing_page",
        )
        await self.world.until(f"/v1/accounts/acme/people/{fred['id']}", lambda one: one["crm"] == "linked")
        return str(fred["id"])

    async def qualified(self, person: str, value: str, reward: str) -> None:
        """See on the page of this person, and on that of rewards, that it qualified by itself."""
        page, base = self.page, f"{self.world.url}/console/a/acme"
        await self.world.until(f"/v1/accounts/acme/people/{person}", lambda one: one["state"] == "qualified")
        await page.goto(f"{base}/people/{person}")
        await expect(page.get_by_text("Why qualified")).to_be_visible()
        await expect(page.get_by_text(value)).to_be_visible()
        await self.look("person-qualified")
        await page.goto(f"{base}/rewards")
        await expect(page.get_by_text(reward)).to_be_visible()
        await self.look("reward-list")
        await follow(page, "Cancel")
        await expect(page.get_by_role("button", name="Cancel the reward")).to_be_visible()
        await self.look("reward")
        await page.get_by_label("Reason").fill("Paid by bank transfer")
        await press(page, "Mark as issued")
        await expect(page.get_by_text("The reward counts as issued.")).to_be_visible()

    async def disconnect(self, name: str) -> None:
        """Settings, Disconnect, what it means, and what is left to do."""
        page = self.page
        await follow(page, "Settings")
        await follow(page, "Disconnect")
        await self.look("disconnect")
        await press(page, "Disconnect")
        await expect(page.get_by_text(f"{name} is disconnected")).to_be_visible()
        await self.look("disconnected")

    def is_light(self, record_property: Any) -> None:
        heaviest = max(self.weights, key=self.weights.__getitem__)
        record_property("heaviest page", f"{heaviest}: {self.weights[heaviest] / 1000:.0f} kB")
        assert {name: weight for name, weight in self.weights.items() if weight > HEAVY} == {}
