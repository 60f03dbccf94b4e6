"""*Sync Your Contacts*: the wizard (whom, fields, links back, ongoing), and how far a sync is.

Each step posts all that was chosen so far, so the wizard needs no script, no memory here, and Back loses nothing.
"""

from dataclasses import dataclass, field
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET

from gateway.console.campaigns import SYNC_STATES, find_page, ground_of
from gateway.console.forms import Form
from gateway.console.pages import Desk
from gateway.console.setup_form import Choice
from gateway.errors import Refused
from gateway.flows.campaigns import campaign as campaigns
from gateway.flows.campaigns.vendor_lists import Reader
from gateway.flows.contact_sync import checks, contacts, start
from gateway.flows.contact_sync.checks import TARGETS, Wanted
from gateway.flows.contact_sync.start import Context
from gateway.flows.refusals import meaning_of
from gateway.sdk.errors import PluginError
from gateway.sdk.mapping import SOURCES
from gateway_schemas.campaign import SetupProblem
from gateway_schemas.manifest import Manifest
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field
from gateway_schemas.sync import (
    ContactSelection,
    SelectionInput,
    Sync,
    SyncEstimate,
    SyncInput,
    SyncMapping,
    SyncPatch,
    WriteBack,
)

PATH = "/a/{account:str}/campaigns/{campaign:str}/sync"
STEPS = ("Whom", "Fields", "Links back", "Start")
LAST = len(STEPS)
OPEN = ("running", "paused", "needs_attention", "watching")
REASONS = {
    "no_email": "no e-mail address",
    "invalid_email": "the e-mail address cannot be right",
    "duplicate": "the same e-mail address as another contact",
    "inactive": "inactive",
    "merged": "merged into another contact",
    "do_not_mail": "wants no mail",
    "deleted": "deleted",
    "erased": "erased here on request",
    "left_selection": "left the saved filter",
}


@dataclass(slots=True)
class Chosen:
    """What was chosen so far.

    Attributes:
        step: Which one is shown, from 1.
        mapping: Value of the referrer to key of the contact's field.
        write_back: Value of the referrer to key of the contact's field that takes it.
    """

    step: int = 1
    filter: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    write_back: dict[str, str] = field(default_factory=dict)
    ongoing: bool = False

    def as_input(self) -> SyncInput:
        """Return what would be started."""
        return SyncInput(
            selection=SelectionInput(filter=self.filter or None),
            mapping=[SyncMapping(field=key, to=to) for to, key in self.mapping.items() if key],
            write_back=[WriteBack(source=source, field=key) for source, key in self.write_back.items() if key],
            ongoing=self.ongoing,
        )

    def as_wanted(self) -> Wanted:
        """Return the same for the checks."""
        given = self.as_input()
        return Wanted(
            selection=ContactSelection(filter=given.selection.filter),
            mapping=given.mapping,
            write_back=given.write_back,
        )


def _read(form: Form) -> Chosen:
    step = form.get("step", "1")
    whom = form.get("whom", "filter")
    return Chosen(
        step=int(step) if step in {str(one + 1) for one in range(LAST)} else 1,
        filter="" if whom == "all" else form.get("filter"),
        mapping=dict(form.starting("map.")),
        write_back=dict(form.starting("back.")),
        ongoing="ongoing" in form,
    )


@dataclass(slots=True)
class Lists:
    """What the pickers offer, as far as the CRM could be read."""

    fields: list[Field] = field(default_factory=list)
    filters: list[Choice] = field(default_factory=list)
    trouble: str = ""


@get("/a/{account:str}/people/sync")
async def choose_campaign(desk: NamedDependency[Desk]) -> Response[str]:
    """Go to the wizard of the account's campaign, or ask which one."""
    listed = await find_page(desk)
    if len(listed.page.data) == 1 and not listed.is_part:
        return desk.go("campaigns", listed.page.data[0].id, "sync")
    return desk.page("sync_campaign.html", listed=listed)


@get(PATH)
async def show_wizard(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Begin the wizard; while a sync is open, show that one instead."""
    again = "again" in desk.request.query_params
    page = await start.find_page(desk.services, desk.account_id, campaign, limit=1, cursor=None)
    latest = page.data[0] if page.data else None
    if latest is not None and latest.state in OPEN and not (again and latest.state == "watching"):
        return desk.go("campaigns", campaign, "syncs", latest.id)
    missing = await _missing(desk, campaign)
    if missing is not None:
        return missing
    chosen = Chosen()
    if latest is not None:
        chosen.filter = latest.selection.filter or ""
        chosen.mapping = {one.to: one.field for one in latest.mapping}
        chosen.write_back = {one.source: one.field for one in latest.write_back}
        chosen.ongoing = latest.ongoing
    return await _wizard(desk, campaign, chosen)


async def _missing(desk: Desk, campaign_id: str) -> Response[str] | None:
    """Return the page that says what must be done first."""
    ground = await ground_of(desk, campaign_id)
    integration = None if ground.row is None else desk.services.integrations.get(ground.row.integration)
    if ground.is_active and integration is not None and integration.has("read_contacts"):
        return None
    found = await campaigns.find(desk.services, desk.account_id, campaign_id)
    return desk.page("sync_missing.html", campaign=found, ground=ground)


@post(PATH)
async def go_on(desk: NamedDependency[Desk], campaign: FromPath[str]) -> Response[str]:
    """Go to the next step or back, read the CRM's lists again, make its fields, or start."""
    missing = await _missing(desk, campaign)
    if missing is not None:
        return missing
    form = await desk.form()
    chosen = _read(form)
    match form.get("action", "next"):
        case "back":
            chosen.step = max(1, chosen.step - 1)
            return await _wizard(desk, campaign, chosen)
        case "refresh":
            return await _wizard(desk, campaign, chosen, refresh=True)
        case "create":
            return await _create(desk, campaign, chosen)
        case "start" if chosen.step == LAST:
            return await _start(desk, campaign, chosen)
    return await _next(desk, campaign, chosen)


async def _next(desk: Desk, campaign_id: str, chosen: Chosen) -> Response[str]:
    """Go on when what this step asks for is right; the flow's own checks say so."""
    context = await start.find_context(desk.services, desk.account_id, campaign_id, None)
    try:
        reader = Reader(desk.services, context.connection)
        fields = (await reader.fields(context.integration.manifest.contact_kind)).data
        checked = await start.check(context, chosen.as_wanted(), fields, reader)
    except (Refused, PluginError) as error:
        return await _wizard(desk, campaign_id, chosen, status=422, alert=meaning_of(error).detail)
    asked = ("", "selection", "mapping", "write_back")[chosen.step] if chosen.step < LAST else ""
    problems = [one for one in checked.problems if asked and one.field.startswith(asked)]
    if chosen.step == 1 and not problems:
        _suggest(context, chosen, fields)
    if not problems:
        chosen.step = min(LAST, chosen.step + 1)
    return await _wizard(desk, campaign_id, chosen, status=422 if problems else 200, problems=problems)


def _suggest(context: Context, chosen: Chosen, fields: list[Field]) -> None:
    """Fill in what the manifest suggests and nobody has chosen yet."""
    can_write = _no_write_back(context) is None
    wanted = checks.with_suggested(context.integration.manifest, chosen.as_wanted(), fields, write_back=can_write)
    if not any(chosen.mapping.values()):
        chosen.mapping = {one.to: one.field for one in wanted.mapping}
    if not any(chosen.write_back.values()):
        chosen.write_back = {one.source: one.field for one in wanted.write_back}


def _no_write_back(context: Context) -> str | None:
    return checks.no_write_back(context.integration.manifest, takes_statuses=context.takes_statuses)


async def _create(desk: Desk, campaign_id: str, chosen: Chosen) -> Response[str]:
    try:
        made = await start.make_fields(desk.services, desk.account_id, campaign_id, None)
    except (Refused, PluginError) as error:
        return await _wizard(desk, campaign_id, chosen, status=422, alert=meaning_of(error).detail)
    chosen.write_back = {one.source: one.field for one in made.write_back}
    return await _wizard(desk, campaign_id, chosen, refresh=True)


async def _start(desk: Desk, campaign_id: str, chosen: Chosen) -> Response[str]:
    try:
        sync, _ = await start.start(desk.services, desk.account_id, campaign_id, chosen.as_input())
    except (Refused, PluginError) as error:
        refused = meaning_of(error)
        steps = {"selection": 1, "mapping": 2, "write_back": 3}
        for one in refused.problems:  # something changed in the CRM meanwhile: go back to where it was chosen
            chosen.step = min(chosen.step, steps.get(one.field.partition("[")[0].partition(".")[0], LAST))
        alert = "" if refused.problems else refused.detail
        return await _wizard(desk, campaign_id, chosen, status=422, problems=refused.problems, alert=alert)
    return desk.go("campaigns", campaign_id, "syncs", sync.id, said="started")


async def _wizard(
    desk: Desk,
    campaign_id: str,
    chosen: Chosen,
    *,
    status: int = 200,
    problems: list[SetupProblem] | list[FieldProblem] | None = None,
    alert: str = "",
    refresh: bool = False,
) -> Response[str]:
    context = await start.find_context(desk.services, desk.account_id, campaign_id, None)
    found = await campaigns.find(desk.services, desk.account_id, campaign_id)
    lists = await _lists(desk, context, chosen, refresh=refresh)
    manifest = context.integration.manifest
    told: SyncEstimate | None = None
    if chosen.step == LAST:
        try:
            told = await start.estimate(desk.services, desk.account_id, campaign_id, chosen.as_input())
        except (Refused, PluginError) as error:
            refused = meaning_of(error)
            alert = alert or " ".join(one.message for one in refused.problems) or refused.detail
    return desk.page(
        "sync_wizard.html",
        status=status,
        campaign=found,
        manifest=manifest,
        chosen=chosen,
        steps=STEPS,
        lists=lists,
        targets=_targets(manifest, found.fields, lists.fields),
        written=_written(manifest, lists.fields),
        no_write_back=_no_write_back(context),
        can_create=context.integration.has("create_field"),
        errors=_errors(problems or [], chosen),
        estimate=told,
        alert=alert,
    )


async def _lists(desk: Desk, context: Context, chosen: Chosen, *, refresh: bool) -> Lists:
    reader = Reader(desk.services, context.connection, refresh=refresh)
    manifest = context.integration.manifest
    lists = Lists()
    try:
        if chosen.step == 1 and manifest.contact_sync.filters is not None:
            options = await reader.options(manifest.contact_sync.filters)
            lists.filters = [(one.value, one.label) for one in options.data]
        if chosen.step in (2, 3):
            lists.fields = (await reader.fields(manifest.contact_kind)).data
    except (Refused, PluginError) as error:
        lists.trouble = meaning_of(error).detail
    return lists


@dataclass(frozen=True, slots=True)
class Target:
    """A row of a step: a value, and the fields that it may come from or go to."""

    key: str
    label: str
    required: bool
    why: str
    choices: list[Choice]


def _targets(manifest: Manifest, form: Any, fields: list[Field]) -> list[Target]:
    suggested = {one.to: one for one in manifest.contact_sync.rows}
    made = []
    for key, types in TARGETS.items():
        row = suggested.get(key)
        choices = [(one.key, one.label) for one in fields if one.type in types]
        label = row.label if row is not None else SOURCES[key].label
        made.append(Target(key, label, key in checks.REQUIRED, row.why if row is not None else "", choices))
    for one in form:
        if one.role == "referrer":
            choices = [(known.key, known.label) for known in fields if known.type != "other"]
            made.append(Target(f"person.fields.{one.key}", one.label, False, "", choices))
    return made


def _written(manifest: Manifest, fields: list[Field]) -> list[Target]:
    choices = [(one.key, one.label) for one in fields if one.custom and one.writable]
    return [Target(one.source, one.label, one.required, one.why, choices) for one in manifest.contact_sync.write_back]


def _errors(problems: list[SetupProblem] | list[FieldProblem], chosen: Chosen) -> dict[str, list[str]]:
    """Put each problem beside its row, by the name of the field on the page."""
    rows = [f"map.{to}" for to, key in chosen.mapping.items() if key]
    back = [f"back.{source}" for source, key in chosen.write_back.items() if key]
    errors: dict[str, list[str]] = {}
    for one in problems:
        name = ""
        for path, names in (("mapping[", rows), ("write_back[", back)):
            number = one.field.removeprefix(path).partition("]")[0]
            if one.field.startswith(path) and number.isdecimal() and int(number) < len(names):
                name = names[int(number)]
        if one.field == "selection.filter":
            name = "filter"
        errors.setdefault(name, []).append(one.message)
    return errors


# --- a sync that runs --------------------------------------------------------------------------------------


@get("/a/{account:str}/campaigns/{campaign:str}/syncs/{sync:str}")
async def show_sync(desk: NamedDependency[Desk], campaign: FromPath[str], sync: FromPath[str]) -> Response[str]:
    """Show how far a sync is; the page asks again while it moves."""
    found = await campaigns.find(desk.services, desk.account_id, campaign)
    state = await start.find(desk.services, desk.account_id, campaign, sync)
    return desk.page(
        "sync.html", campaign=found, sync=state, states=SYNC_STATES, reasons=REASONS, parts=_parts(state), open=OPEN
    )


def _parts(sync: Sync) -> tuple[int, int] | None:
    """Return how much of the phase is done and how much there is, where it can be told."""
    progress = sync.progress
    if sync.phase == "reading" and progress.total:
        return min(progress.read, progress.total), progress.total
    if sync.phase == "writing_back":
        written = max(progress.imported - progress.to_write, 0)
        return written, max(progress.imported, 1)
    return (1, 1) if sync.phase == "done" else None


@get("/a/{account:str}/campaigns/{campaign:str}/syncs/{sync:str}/skipped")
async def show_skipped(desk: NamedDependency[Desk], campaign: FromPath[str], sync: FromPath[str]) -> Response[str]:
    """Show the contacts that became no referrers, and why."""
    found = await campaigns.find(desk.services, desk.account_id, campaign)
    given = desk.request.query_params
    page = await contacts.find_page(
        desk.services,
        desk.account_id,
        campaign,
        sync,
        state="skipped",
        reason=given.get("reason") or None,
        limit=50,
        cursor=given.get("cursor") or None,
    )
    return desk.page(
        "sync_skipped.html",
        campaign=found,
        sync_id=sync,
        contacts=page.data,
        next=page.next,
        reasons=REASONS,
        reason=given.get("reason"),
    )


@post("/a/{account:str}/campaigns/{campaign:str}/syncs/{sync:str}")
async def change_sync(desk: NamedDependency[Desk], campaign: FromPath[str], sync: FromPath[str]) -> Response[str]:
    """Pause, resume, cancel, or toggle whether it is ongoing."""
    form = await desk.form()
    action = form.get("action")
    said = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}.get(action, "")
    try:
        if action == "cancel":
            await start.cancel(desk.services, desk.account_id, campaign, sync)
        else:
            ongoing = action == "ongoing" and form.get("to") == "on"
            patch = SyncPatch(
                paused=UNSET if action == "ongoing" else action == "pause",
                ongoing=ongoing if action == "ongoing" else UNSET,
            )
            await start.patch(desk.services, desk.account_id, campaign, sync, patch)
            said = said or ("ongoing_on" if ongoing else "ongoing_off")
    except Refused as error:
        if error.code != "wrong_state":
            raise
        said = "already"
    if form.get("then") == "promote":
        return desk.go("campaigns", campaign, "promote", said=said)
    return desk.go("campaigns", campaign, "syncs", sync, said=said)


ROUTES: list[Any] = [choose_campaign, show_wizard, go_on, show_sync, show_skipped, change_sync]
