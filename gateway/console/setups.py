"""The setup of a campaign for people invited or people referring: one form over the same flow as the API.

Every button posts the whole form; what was typed comes back with the answer, whether it could be saved or not.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.console import setup_form
from gateway.console.campaigns import ROLES, Ground, ground_of
from gateway.console.pages import Desk
from gateway.console.setup_form import Choice, Default, Errors, Row, Typed
from gateway.errors import Refused
from gateway.flows.campaigns import campaign as campaign_flow
from gateway.flows.campaigns import preview as previews
from gateway.flows.campaigns import setup as flow
from gateway.flows.campaigns.campaign import changed_meanwhile
from gateway.flows.campaigns.setup_checks import source_of
from gateway.flows.campaigns.vendor_lists import Reader, create_field
from gateway.flows.refusals import meaning_of
from gateway.sdk.errors import PluginError
from gateway.sdk.mapping import sources_for
from gateway.storage.campaigns import mark_of
from gateway_schemas.campaign import Campaign, Preview, PreviewInput, SetupInput, SetupProblem
from gateway_schemas.manifest import Manifest, Parameter, Role, Target, TargetOption, Trigger
from gateway_schemas.problem import FieldProblem
from gateway_schemas.records import Field, FieldInput

PATH = "/a/{account:str}/campaigns/{campaign:str}/setups/{role:str}"


@dataclass(slots=True)
class Lists:
    """What pickers offer, as far as the CRM could be read.

    Attributes:
        trouble: What failed, in words; the page says it and shows what it has.
        stale_since: Lists that could not be read now are as of then.
    """

    fields: dict[str, list[Field]] = field(default_factory=dict)
    options: dict[str, list[Choice]] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    stale_since: datetime | None = None


@dataclass(slots=True)
class Work:
    """A setup that somebody works on."""

    desk: Desk
    campaign: Campaign
    role: Role
    ground: Ground
    manifest: Manifest
    typed: Typed
    lists: Lists = field(default_factory=Lists)

    @property
    def target(self) -> Target | None:
        """What a signup creates, as chosen."""
        return next((one for one in self.targets if one.key == self.typed.target), None)

    @property
    def targets(self) -> list[Target]:
        """What is offered for this role."""
        return [one for one in self.manifest.targets if self.role in one.roles]

    @property
    def triggers(self) -> list[Trigger]:
        """What can qualify people with this target."""
        return [one for one in self.manifest.triggers if self.typed.target in one.targets]

    @property
    def trigger(self) -> Trigger | None:
        """The rule that is chosen."""
        return next((one for one in self.triggers if one.key == self.typed.trigger), None)

    @property
    def mark(self) -> str:
        """Mark of what is saved now."""
        before = self.ground.setups.get(self.role)
        return mark_of(None if before is None else before.body)

    def as_input(self, *, suggest: bool = False) -> SetupInput:
        """Return what would be saved."""
        before = self.ground.setups.get(self.role)
        return setup_form.as_input(
            self.typed, self.manifest, self.role, None if before is None else before.body, self.lists.fields,
            suggest=suggest,
        )  # fmt: skip


async def begin(desk: Desk, campaign_id: str, role: str, typed: Typed | None) -> Work | Response[str]:
    """Return the work, or the page that says what is missing first."""
    known = dict(ROLES)
    if role not in known:
        raise Refused("not_found", "There is no such page.")
    campaign = await campaign_flow.find(desk.services, desk.account_id, campaign_id)
    ground = await ground_of(desk, campaign_id)
    if not ground.is_active or ground.manifest is None or not ground.manifest.targets:
        return desk.page(
            "setup_missing.html", campaign=campaign, ground=ground, role_label=known[_role(role)], status=200
        )
    work = Work(desk, campaign, _role(role), ground, ground.manifest, typed or await _saved(desk, ground, role))
    if typed is None:
        work.typed.seen = work.mark
    if not any(one.key == work.typed.target for one in work.targets) and work.targets:
        work.typed.target = work.targets[0].key
    if not work.typed.duplicates:
        work.typed.duplicates = work.manifest.default_duplicates
    if work.trigger is None:
        work.typed.trigger = ""
    return work


async def _saved(desk: Desk, ground: Ground, role: str) -> Typed:
    source = desk.request.query_params.get("from")
    found = (await ground_of(desk, source)).setups if source else ground.setups
    setup = found.get(role)
    return Typed() if setup is None else setup_form.typed_from(setup.body)


def _role(role: str) -> Role:
    return "referrer" if role == "referrer" else "referred"


# --- what pickers offer ----------------------------------------------------------------------------------


async def read_lists(work: Work, *, refresh: bool = False) -> None:
    """Read the fields and options that this form shows; what cannot be read is said, and the form still works."""
    assert work.ground.row is not None
    reader = Reader(work.desk.services, work.ground.row, refresh=refresh)
    for kind in work.target.creates if work.target is not None else ():
        try:
            found = await reader.fields(kind)
        except (Refused, PluginError) as error:
            work.lists.trouble.append(_trouble(error))
            continue
        work.lists.fields[kind] = found.data
        if found.stale:
            work.lists.stale_since = found.read_at
    if work.target is not None:
        await _read_options(work, reader, "option.", work.target.options, work.typed.target_options)
    if work.trigger is not None:
        await _read_options(work, reader, "parameter.", work.trigger.parameters, work.typed.parameters)


async def _read_options(
    work: Work, reader: Reader, prefix: str, among: list[TargetOption] | list[Parameter], chosen: dict[str, str]
) -> None:
    for one in among:
        choices: list[Choice] = []
        if one.source is None:
            choices = [(value, value) for value in getattr(one, "choices", [])]
        else:
            source, parent = source_of(one, among, chosen)
            if one.parent is not None and parent is None:
                work.lists.options[prefix + one.key] = []
                continue
            try:
                found = await reader.options(source, parent)
            except (Refused, PluginError) as error:
                work.lists.trouble.append(_trouble(error))
            else:
                choices = [(option.value, option.label) for option in found.data]
                if found.stale:
                    work.lists.stale_since = found.read_at
        current = chosen.get(one.key)
        if current and not any(value == current for value, _ in choices):
            if work.lists.trouble:
                choices.insert(0, (current, current))
            else:
                chosen.pop(one.key)  # of another parent
        work.lists.options[prefix + one.key] = choices


def _trouble(error: Exception) -> str:
    refused = meaning_of(error)
    return refused.detail


# --- the pages -------------------------------------------------------------------------------------------


@get(PATH)
async def show_setup(desk: NamedDependency[Desk], campaign: FromPath[str], role: FromPath[str]) -> Response[str]:
    """Show the form: as saved, as another campaign has it (``from``), or empty."""
    work = await begin(desk, campaign, role, None)
    if isinstance(work, Response):
        return work
    await read_lists(work)
    saved = work.ground.setups.get(role)
    problems: list[SetupProblem] = [] if saved is None or "from" in desk.request.query_params else saved.problems
    if "from" in desk.request.query_params:
        problems = (await _judged(work)).problems
    return _page(work, problems=problems)


@post(PATH)
async def change_setup(desk: NamedDependency[Desk], campaign: FromPath[str], role: FromPath[str]) -> Response[str]:
    """Do what the pressed button says; the form comes back with everything that was typed."""
    form = await desk.form()
    work = await begin(desk, campaign, role, setup_form.read(form))
    if isinstance(work, Response):
        return work
    action, _, about = form.get("action", "save").partition(":")
    await read_lists(work, refresh=action in ("refresh", "suggest"))
    match action:
        case "save":
            return await _save(work)
        case "preview":
            return await _preview(work)
        case "suggest":
            return await _suggest(work)
        case "create":
            return await _create(work, about)
        case "add":
            work.typed.spare += 1
    return _page(work)


async def _save(work: Work) -> Response[str]:
    desk = work.desk
    try:
        if work.mark != work.typed.seen:
            raise changed_meanwhile()
        saved, _ = await flow.save(
            desk.services, desk.account_id, work.campaign.id, work.role, work.as_input(), seen=work.mark
        )
    except (Refused, PluginError, msgspec.ValidationError) as error:
        refused = meaning_of(error)
        alert = "" if refused.problems else refused.detail
        work.lists = Lists()
        await read_lists(work)  # the check has read them anew: what is gone is shown as gone
        if refused.code == "changed_meanwhile":
            work.ground = await ground_of(desk, work.campaign.id)
            work.typed.seen = work.mark  # who has read this may save over it
            return _page(work, status=409, changed=True)
        return _page(work, status=422, problems=refused.problems, alert=alert)
    said = "saved_warnings" if saved.warnings else "saved"
    return desk.go("campaigns", work.campaign.id, "integration", said=said)


async def _preview(work: Work) -> Response[str]:
    desk = work.desk
    given = PreviewInput(setup=work.as_input())
    try:
        shown = await previews.preview(desk.services, desk.account_id, work.campaign.id, work.role, given)
    except (Refused, PluginError) as error:
        refused = meaning_of(error)
        return _page(work, status=422, problems=refused.problems, alert=refused.detail)
    problems = [one for one in shown.problems if one.code != "note" and not shown.requests]
    return _page(work, problems=problems, preview=shown)


async def _judged(work: Work) -> Any:
    """Check what was typed against what the CRM has, as saving does."""
    assert work.ground.row is not None
    desk = work.desk
    context = await flow.find_context(desk.services, desk.account_id, work.campaign.id, None)
    reader = Reader(desk.services, work.ground.row)
    return await flow.judge(desk.services, context, work.role, work.as_input(), reader)


async def _suggest(work: Work) -> Response[str]:
    """Fill in what the manifest suggests; rows whose field is gone from the CRM make room for it."""
    assert work.ground.row is not None
    desk = work.desk
    work.typed.rows = setup_form.without_gone(work.typed.rows, work.lists.fields)
    try:
        context = await flow.find_context(desk.services, desk.account_id, work.campaign.id, None)
        reader = Reader(desk.services, work.ground.row)
        checked = await flow.judge(desk.services, context, work.role, work.as_input(suggest=True), reader)
    except (Refused, PluginError) as error:
        return _page(work, status=422, alert=meaning_of(error).detail)
    suggested = setup_form.typed_from(checked.body)
    work.typed.rows = suggested.rows
    return _page(work, problems=[one for one in checked.problems if one.code in ("required", "ambiguous_field")])


async def _create(work: Work, about: str) -> Response[str]:
    """Make a custom field that the manifest asks for, and choose it."""
    assert work.ground.row is not None
    rows = work.target.rows.get(work.role, []) if work.target is not None else []
    wanted = next((one for one in rows if one.field is None and f"{one.record_kind}.{one.label}" == about), None)
    if wanted is None:
        return _page(work)
    given = FieldInput(label=wanted.label, type=wanted.type)
    try:
        made, _ = await create_field(work.desk.services, work.ground.row, wanted.record_kind, given)
    except (Refused, PluginError) as error:
        return _page(work, status=422, alert=meaning_of(error).detail)
    work.lists = Lists()
    await read_lists(work)
    source = wanted.source or "person.code"
    part = "referrer_fields" if source.startswith("referrer.") else "mapping"
    kept = [row for row in work.typed.rows if row[2] != source or row[1]]
    work.typed.rows = [*kept, (part, f"{wanted.record_kind}:{made.key}", source)]  # type: ignore[list-item] # a part
    return _page(work)


@post(f"{PATH}/remove")
async def remove_setup(desk: NamedDependency[Desk], campaign: FromPath[str], role: FromPath[str]) -> Response[str]:
    """Stop sending: signups are held until there is a setup again."""
    await flow.remove(desk.services, desk.account_id, campaign, _role(role), None)
    return desk.go("campaigns", campaign, "integration", said="removed")


def _page(
    work: Work,
    *,
    status: int = 200,
    problems: list[SetupProblem] | list[FieldProblem] | None = None,
    alert: str = "",
    preview: Preview | None = None,
    changed: bool = False,
) -> Response[str]:
    kinds = {one.key: one.label for one in work.manifest.record_kinds}
    sources = sources_for(work.campaign.fields, work.role)
    rows: list[Row] = []
    if work.target is not None:
        rows = setup_form.rows_for(work.typed, work.target, work.role, kinds, work.lists.fields, sources)
    defaults: list[Default] = setup_form.defaults_for(work.typed, work.lists.fields)
    errors: Errors = setup_form.place_errors(problems or [], work.typed, rows, defaults)
    among = list(work.target.creates) if work.target is not None else []
    integration = work.desk.services.integrations.get(work.manifest.key)
    return work.desk.page(
        "setup.html",
        status=status,
        work=work,
        campaign=work.campaign,
        manifest=work.manifest,
        role=work.role,
        role_label=dict(ROLES)[work.role],
        target=work.target,
        rows=rows,
        kinds=kinds,
        work_sources={name: source.label for name, source in sources.items()},
        plugin_choices=lambda found: [
            (one.key, work.desk.texts.of_plugin(work.manifest.key, one.label)) for one in found
        ],
        defaults=defaults,
        default_places=[setup_form.field_groups(among, kinds, work.lists.fields, one.place) for one in defaults],
        errors=errors,
        wrong=len(problems or []),
        alert=alert,
        preview=preview,
        changed=changed,
        can_create=integration is not None and integration.has("create_field"),
        has_setup=work.role in work.ground.setups,
    )


ROUTES: list[Any] = [show_setup, change_setup, remove_setup]
