"""``gateway demo``: one referral from signup to reward on this machine, told step by step.

Everything is real but the vendor and the host: a sandbox of the vendor and a fake host listen on loopback
ports, the gateway serves beside them with its own SQLite file, and all of them speak HTTP.
"""

import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.app import create_app, create_worker, open_services
from gateway.cli import logs, sync
from gateway.cli.sandbox import GROUP
from gateway.flows.connections.app_calls import app_url
from gateway.settings import Settings
from gateway.storage import migrate
from gateway.testing.fake_host import FakeHost
from gateway.testing.serving import free_ports, serving
from gateway.testing.story import Story
from gateway_schemas.sync import Sync

FOLDER = Path("gateway-demo")
ACCOUNT, CAMPAIGN = "acme", "spring-referrals"
REFERRER, FRIEND = "rita@referrer.test", "fred@friend.test"
PATIENCE_SECONDS = 30.0
CONTACTS = 40


@click.command()
@click.option("--crm", default="pipedrive", show_default=True, help="Integration whose sandbox plays the CRM.")
@click.option("--keep", is_flag=True, help=f"Keep ./{FOLDER}/gateway.db and go on serving, to explore.")
def demo(crm: str, keep: bool) -> None:
    """Tell one referral from signup to reward, with a sandbox of the CRM and a fake host."""
    logs.configure("console", "error")
    asyncio.run(_demo(_sandbox(crm), crm, keep=keep))


def _sandbox(crm: str) -> Any:
    """Return the sandbox's module.

    Raises:
        UsageError: It is not installed, or has no story to tell.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    wanted = points[crm].load() if crm in points else None
    if wanted is not None and hasattr(wanted, "story"):
        return wanted
    told = [name for name in sorted(points) if name != crm and _tells(points[name])]
    offered = f"there is: {', '.join(told) or 'none'}"
    if wanted is None:
        raise click.UsageError(f"no sandbox {crm!r} is installed; of those with a story {offered}")
    raise click.UsageError(
        f"the sandbox of {crm!r} has no story(base_url, callback_url) to tell, see docs/plugins.md; "
        f"of those with one {offered}"
    )


def _tells(point: EntryPoint) -> bool:
    """Return whether a sandbox has a story; one that is broken has none."""
    try:
        return hasattr(point.load(), "story")
    except Exception:  # noqa: BLE001 - whatever another plugin's module does, this command's sentence is about this one
        return False


async def _demo(sandbox: Any, crm: str, *, keep: bool) -> None:
    async with AsyncExitStack() as stack:
        folder = FOLDER if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        folder.mkdir(exist_ok=True)
        for old in folder.glob("gateway.db*"):
            old.unlink()
        gateway_port, vendor_port, host_port = free_ports(3)
        gateway_url, vendor_url, host_url = (
            f"http://127.0.0.1:{port}" for port in (gateway_port, vendor_port, host_port)
        )
        story: Story = sandbox.story(vendor_url, f"{gateway_url}/v1/oauth/{crm}/callback")
        host_key = secrets.token_urlsafe(32)
        settings = Settings(
            database_url=f"sqlite:///{folder / 'gateway.db'}",
            public_url=gateway_url,
            host_keys=[host_key],
            secret_keys=["demo:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()],
            support_contact="support@referrals.example",
            allow_local_targets=True,
        )
        host = FakeHost()
        await migrate.upgrade(settings.database_url)
        services = await stack.enter_async_context(open_services(settings, environ=story.environ()))
        story.set_app_url(app_url(gateway_url, services.vault, crm))
        gateway = create_app(services, worker=create_worker(services))
        for app, port in ((story.app, vendor_port), (host.app, host_port), (gateway, gateway_port)):
            await stack.enter_async_context(serving(app, port, log_level="warning", timeout_graceful_shutdown=2))
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=gateway_url, headers={"authorization": f"Bearer {host_key}"}, timeout=30, trust_env=False
            )
        )
        teller = Teller(api, story, host)
        teller.say(f"[bold]{story.title}[/bold]")
        teller.note(f"gateway {gateway_url} on {settings.database_url}, sandbox {vendor_url}, fake host {host_url}")
        await tell(teller, crm, host_url)
        if keep:
            teller.step("Explore")
            opened = await teller.call("POST", f"/v1/accounts/{ACCOUNT}/sessions")
            teller.note(f"Console    {opened['url']}    (once, within five minutes)")
            teller.note(f"           {gateway_url}/console/sign-in    with the key below, as often as you like")
            teller.note(f"API        {gateway_url}/schema    Authorization: Bearer {host_key}")
            teller.note(f"People     {gateway_url}/v1/accounts/{ACCOUNT}/people")
            teller.note(f"Events     {gateway_url}/v1/events?after=0")
            teller.note(f"Sandbox    {vendor_url}/")
            teller.note(f"Fake host  {host_url}/")
            teller.note("Stop with Ctrl-C.")
            await asyncio.Event().wait()


async def tell(teller: "Teller", crm: str, host_url: str) -> None:
    """Tell the story; any step that does not come true ends the command with an error."""
    api, story, host = teller.api, teller.story, teller.host
    account = f"/v1/accounts/{ACCOUNT}"
    campaign = f"{account}/campaigns/{CAMPAIGN}"

    teller.step("The host registers an account and a place for events")
    await teller.call("PUT", account, {"name": "Acme", **story.account})
    endpoint = await teller.call("POST", "/v1/endpoints", {"url": f"{host_url}/webhooks"})
    host.secrets.append(endpoint["secret"])

    teller.step("The account connects its CRM")
    await connect(teller, account, crm)

    teller.step("The host declares a campaign; the account says what a signup creates and what qualifies")
    currency = story.account["currency"]
    reward = {"kind": "percentage", "percent": "10", "cap": "250", "currency": currency, "on": "qualification"}
    await teller.call(
        "PUT",
        campaign,
        {
            "name": "Spring referrals",
            "state": "live",
            "link_template": "https://refer.example/{code}",
            "rewards": [reward],
        },
    )
    for role, setup in story.setups().items():
        saved = await teller.call("PUT", f"{campaign}/setups/{role}", setup)
        teller.note(
            f"{role}: {saved['target']}, "
            + ", ".join(f"{row['record_kind']}.{row['source']}" for row in saved["mapping"])
        )
    preview = await teller.call("POST", f"{campaign}/setups/referred/preview", {})
    teller.note(f"preview: {' then '.join(one['method'] + ' ' + one['path'] for one in preview['requests'])}")
    teller.story.calls()

    if hasattr(story, "fill_contacts"):
        await tell_sync(teller, campaign)

    teller.step("Rita signs up to share")
    rita = await teller.signup(
        campaign, {"role": "referrer", "person": {"email": REFERRER, "first_name": "Rita", "last_name": "Referrer"}}
    )
    teller.vendor()
    teller.note(f"her link: {rita['link']}")

    teller.step("Fred signs up through her link")
    fred = await teller.signup(
        campaign,
        {
            "role": "referred",
            "person": {"email": FRIEND, "first_name": "Fred", "last_name": "Friend", "phone": story.phone},
            "referrer": {"code": rita["code"]},
            "source": "landing_page",
        },
    )
    teller.vendor()

    teller.step("He becomes a customer, in the CRM")
    async for sentence in story.customer_buys(FRIEND, 1200):
        teller.note(sentence)
    fred = await teller.until(
        "the referral is qualified",
        lambda: api.get(f"{account}/people/{fred['id']}"),
        lambda one: one["state"] == "qualified",
    )
    teller.note(f"sale value {fred['sale_value']['amount']} {fred['sale_value']['currency']}")
    teller.vendor()

    teller.step("The reward is due, the host pays it")
    due = await teller.until("the host was told of the reward", None, lambda _: bool(host.of_type("reward.due")))
    del due
    told = host.of_type("reward.due")[0]["data"]
    teller.note(f"reward {told['reward']}: {told['amount']} {told['currency']} to {told['referrer']}")
    await teller.call("POST", f"/v1/rewards/{told['reward']}/issued", {})
    await teller.until("the host was told that it is issued", None, lambda _: bool(host.of_type("reward.issued")))

    teller.step("What the host received, each signed and verified")
    for event in host.events:
        teller.note(f"{event['type']:<28} {event['id']}")
    if host.refused:
        raise click.ClickException(f"{len(host.refused)} message(s) failed verification")

    teller.step("Fred's timeline")
    timeline = await teller.call("GET", f"{account}/people/{fred['id']}/timeline")
    for entry in timeline["entries"]:
        teller.note(f"{entry['at'][11:19]}  {entry['kind']:<24} {entry['text']}")
    for condition in timeline["why"]["conditions"]:
        teller.note(f"{'✓' if condition['met'] else '✗'} {condition['label']}: {condition['evidence'] or ''}")

    teller.step("The ledger balances")
    ledger = await teller.call("GET", f"/v1/ledger?account={ACCOUNT}")
    teller.note(
        ", ".join(
            f"{name} {ledger[name]}" for name in ("accepted", "delivered", "refused", "held", "parked", "under_way")
        )
    )
    if not ledger["balanced"]:
        raise click.ClickException("the ledger does not balance")
    teller.say(f"\n[bold green]One referral, from signup to reward, in {teller.seconds:.1f} s.[/bold green]")


async def connect(teller: "Teller", account: str, crm: str) -> None:
    """Go through the connect steps, whichever the integration has, until the connection is active."""
    api, story = teller.api, teller.story
    connection = await teller.call("POST", f"{account}/connections", {"integration": crm})
    path = f"/v1/connections/{connection['id']}"
    while connection["state"] != "active":
        step = connection["next_step"]
        teller.note(f"{step['title']}: {step['kind']}")
        for number, sentence in enumerate(step["instructions"], 1):
            teller.note(f"  {number}. {sentence}")
        if step["kind"] == "redirect":
            async with httpx.AsyncClient(timeout=30, trust_env=False) as browser:
                await story.connect(step, browser)
            active = "the connection is active"
            connection = await teller.until(active, lambda: api.get(path), lambda one: one["state"] == "active")
        elif step["kind"] == "form":
            body = {"values": dict(story.fill_in(step["step"]))}
            connection = await teller.call("POST", f"{path}/steps/{step['step']}", body)
        else:
            teller.note(f"the operator: {story.let_in()}")
            connection = await teller.call("POST", f"{path}/approve", {})
    teller.note(f"connected as {connection['name']} ({connection['identity']})")
    entry = await teller.call("GET", f"/v1/integrations/{crm}")
    if "SendsWebhooks" in entry["capabilities"]:
        await teller.until(
            "changes at the vendor are watched",
            lambda: api.get(path),
            lambda one: one["health"]["webhooks"] == "healthy",
        )
    teller.vendor()


async def tell_sync(teller: "Teller", campaign: str) -> None:
    """Make every contact of the CRM a referrer, with a progress bar, and look at the link in the CRM."""
    teller.step("Every contact of the CRM becomes a referrer")
    teller.note(teller.story.fill_contacts(CONTACTS))
    asked = {"use_suggested": True}
    told = await teller.call("POST", f"{campaign}/syncs/estimate", asked)
    for sentence in told["sentences"]:
        teller.note(sentence)
    started = await teller.call("POST", f"{campaign}/syncs", asked)
    began = time.monotonic()
    with Progress(TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn()) as bars:
        reading, writing = bars.add_task("read", total=None), bars.add_task("written back", total=None)
        while True:
            shown = msgspec.convert((await teller.api.get(f"{campaign}/syncs/{started['id']}")).json(), Sync)
            sync.draw(bars, reading, writing, shown)
            if shown.state != "running":
                break
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise click.ClickException(f"the contact sync is not done yet: {shown.phase}, {shown.progress}")
            await asyncio.sleep(0.1)
    if shown.state != "completed":
        raise click.ClickException(f"the contact sync needs attention: {shown.message}")
    said = shown.progress
    skipped = ", ".join(f"{reason} {number}" for reason, number in said.skipped.items())
    teller.note(f"{said.imported} referrers, {said.written} written back, skipped: {skipped or 'none'}")
    email = "customer1@customer.test"
    if shown.write_back:
        link = teller.story.contact_shows(email, "Referral Link")
        if link is None:
            raise click.ClickException(f"the CRM does not show the link of {email}")
        teller.note(f"the CRM shows beside {email}: Referral Link {link}")
    else:
        teller.note(shown.no_write_back or "")
    teller.story.calls()
    teller.story.webhooks()


class Teller:
    """Prints the story, calls the gateway, and waits for what the worker does."""

    def __init__(self, api: httpx.AsyncClient, story: Story, host: FakeHost) -> None:
        self.api = api
        self.story = story
        self.host = host
        self._console = Console(highlight=False, soft_wrap=True)
        self._steps = 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the story has taken."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line with markup."""
        self._console.print(text)

    def step(self, title: str) -> None:
        """Begin a step."""
        self._steps += 1
        self._console.print(f"\n[bold cyan]{self._steps}. {title}[/bold cyan]")

    def note(self, text: str) -> None:
        """Print a detail."""
        self._console.print(f"   {text}", markup=False)

    def vendor(self) -> None:
        """Print what the sandbox took and sent since the last time."""
        for line in self.story.calls():
            self._console.print(f"   CRM  ← {line}", style="dim", markup=False)
        for line in self.story.webhooks():
            self._console.print(f"   CRM  → webhook {line}", style="dim", markup=False)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the gateway and print the call; a refusal ends the demo."""
        answer = await self.api.request(method, path, json=body)
        self._console.print(f"   host → {method} {path} → {answer.status_code}", style="dim", markup=False)
        if answer.is_error:
            raise click.ClickException(f"{method} {path}: {answer.text}")
        return answer.json() if answer.content else None

    async def signup(self, campaign: str, body: dict[str, Any]) -> Any:
        """Send a signup and wait until the CRM has it."""
        answer = await self.call("POST", f"{campaign}/signups", body)
        person = answer["results"][0]["person"]
        shown = await self.until(
            "the CRM has it",
            lambda: self.api.get(f"/v1/accounts/{ACCOUNT}/people/{person}"),
            lambda one: one["crm"] == "linked",
        )
        for record in shown["records"]:
            self.note(f"{record['how']} {record['ref']['kind']} {record['ref']['id']}")
        return shown

    async def until(
        self, what: str, ask: Callable[[], Awaitable[httpx.Response]] | None, holds: Callable[[Any], bool]
    ) -> Any:
        """Wait until ``holds`` is true of the answer; say how long it took.

        Raises:
            ClickException: It did not come true in time.
        """
        began = time.monotonic()
        answer: Any = None
        while time.monotonic() - began < PATIENCE_SECONDS:
            answer = (await ask()).json() if ask is not None else None
            if holds(answer):
                self.note(f"{what} ({time.monotonic() - began:.2f} s)")
                return answer
            await asyncio.sleep(0.05)
        raise click.ClickException(f"waited {PATIENCE_SECONDS:.0f} s, but not yet: {what}; last answer: {answer}")
