"""A dry run: the integration's own code pushes a sample; its reads go through, its writes are noted and stopped.

So the payloads are exact, because they are made by the code that a real push runs. Nothing is written at the vendor,
and nothing about the sample here.
"""

import httpx
import msgspec

from gateway.errors import Refused
from gateway.flows.campaigns import setup as setups
from gateway.flows.campaigns.samples import sample_person, sample_referrer
from gateway.flows.campaigns.setup import Context
from gateway.flows.campaigns.setup_checks import Checked
from gateway.flows.campaigns.vendor_lists import TIMEOUT_SECONDS, Reader, integration_of, note_reauth
from gateway.flows.connections.opening import open_connection
from gateway.flows.contact_index import existing
from gateway.flows.people.shapes import mapping_campaign
from gateway.flows.services import Services
from gateway.sdk.connection import Connection, Create, Find, Push, PushedRecord, PushResult
from gateway.sdk.errors import MappingBroken, ReauthRequired, Rejected, StepNamedTwice
from gateway.sdk.http import SAFE_METHODS
from gateway.sdk.mapping import MappingPerson, render
from gateway.storage import links
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import Preview, PreviewInput, PreviewRequest, SetupProblem
from gateway_schemas.manifest import Manifest, Role
from gateway_schemas.records import RecordRef


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """A write that was stopped before it left, with its exact bytes."""

    step: str
    method: str
    path: str
    content: bytes


class DryRun(BaseException):
    """A write was stopped. No ``Exception``, so that a plugin's handling of errors lets it pass."""

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(f"{stopped.method} {stopped.path} was not sent")
        self.stopped = stopped


class DryTransport(httpx.AsyncBaseTransport):
    """Lets reads through, notes the first write of each step and stops it."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.step = ""
        self.stopped: list[Stopped] = []
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a read on; raise ``DryRun`` for a write."""
        if request.extensions.get("reads", request.method in SAFE_METHODS):
            return await self._inner.handle_async_request(request)
        stopped = Stopped(
            step=self.step,
            method=request.method,
            path=request.url.raw_path.decode("ascii"),
            content=await request.aread(),
        )
        self.stopped.append(stopped)
        raise DryRun(stopped)


class DryOnce:
    """Runs each step of a push up to its first write, and answers as if it had been done (``sdk.connection.Once``)."""

    def __init__(self, transport: DryTransport) -> None:
        self._transport = transport
        self._named: set[str] = set()

    async def __call__(self, step: str, *, find: Find, create: Create) -> PushedRecord:
        """Return what the step finds without writing, or a record that stands for what it would have written.

        Raises:
            StepNamedTwice: A step before had that name.
        """
        if step in self._named:
            raise StepNamedTwice(step)
        self._named.add(step)
        self._transport.step = step
        try:
            return await create()
        except DryRun as dry:
            if dry.stopped.method in ("PATCH", "PUT"):  # an update names its record at the end of its path
                known = dry.stopped.path.partition("?")[0].rstrip("/").rpartition("/")[2]
                return PushedRecord(ref=RecordRef(kind=step, id=known), how="updated")
            return PushedRecord(ref=RecordRef(kind=step, id="0"), how="created")
        finally:
            self._transport.step = ""


async def preview(services: Services, account_id: str, campaign_id: str, role: Role, given: PreviewInput) -> Preview:
    """Show what a signup would write, the verdict on duplicates, and every problem.

    Raises:
        Refused: There is no campaign, connection or setup, or the sample is wrong.
        PluginError: The vendor could not be read now.
    """
    body = given.setup
    connection_id = None if body is None else body.connection
    if body is None:
        saved = await setups.find_row(services, account_id, campaign_id, role, None)
        body, connection_id = saved.body, saved.connection_id
    context = await setups.find_context(services, account_id, campaign_id, connection_id)
    checked = await setups.judge(services, context, role, body, Reader(services, context.connection, keep=False))
    person = sample_person(given, role, context.campaign, checked.body, checked.resolved.fields, services.clock.now())
    referrer = sample_referrer(given, role, context.campaign)
    mapped = render(
        checked.body,
        checked.resolved.fields,
        person=person,
        referrer=referrer,
        campaign=mapping_campaign(context.campaign),
        locality=context.locality,
    )
    problems = list(checked.problems)
    named = {problem.field for problem in problems}
    problems += [
        SetupProblem(field=one.field, message=one.message, code=one.code)
        for one in mapped.problems
        if one.field not in named and f"{one.field}.field" not in named
    ]
    if problems:
        return Preview(
            requests=[], duplicate="Not looked for: mend the problems first.", existing=[], problems=problems
        )
    run = await _dry_run(services, context, checked, person, mapped.values)
    notes = [SetupProblem(field="", message=note, code="note") for note in [*mapped.notes, *run.notes]]
    return Preview(
        requests=[_shown(one) for one in run.stopped],
        duplicate=_verdict(context.manifest, checked.body.duplicates or "", run),
        existing=_existing(context.manifest, run),
        problems=[*run.problems, *checked.resolved.warnings, *notes],
    )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run did; ``result`` is null when the integration refused the sample.

    Attributes:
        existing: Contacts with the sample's e-mail that the search or the contact index knows.
        doubts: That nobody could check it.
    """

    stopped: list[Stopped]
    result: PushResult | None = None
    problems: list[SetupProblem] = []
    existing: list[RecordRef] = []
    doubts: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What the integration would write on the timeline."""
        return [*self.doubts, *(() if self.result is None else self.result.notes)]


async def _dry_run(
    services: Services,
    context: Context,
    checked: Checked,
    person: MappingPerson,
    values: dict[str, dict[str, FieldValue]],
) -> Run:
    integration = integration_of(services, context.connection)
    if not integration.has("push_signup"):
        raise Refused("not_supported", f"{context.manifest.name} takes no signups.")
    email = person.email or ""
    async with services.database.read() as conn:
        known = await links.known_for(conn, context.connection.id, services.vault.email_hash(email))
    dry: list[DryTransport] = []

    def wrap(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
        dry.append(DryTransport(inner))
        return dry[0]

    connection: Connection = await open_connection(services, context.connection, person_waits=True, transport_wrap=wrap)
    body = checked.body
    try:
        there = await existing.look(services, integration, connection, context.connection, email)
    except ReauthRequired as error:
        await note_reauth(services, context.connection, error)
        raise
    push = Push(
        reference=person.id,
        role=person.role,
        campaign_name=context.campaign.name,
        email=email,
        values=values,
        target=body.target,
        target_options=body.target_options,
        duplicates=body.duplicates or "",
        known=tuple(link.ref for link in known),
        existing=tuple(there.refs),
        existing_complete=there.complete,
        fields=checked.resolved.fields,
        code=person.code,
        once=DryOnce(dry[0]),
    )
    try:
        result: PushResult = await integration.call(
            integration.hooks.push_signup(connection=connection, push=push), timeout_seconds=TIMEOUT_SECONDS
        )
    except DryRun as outside:
        what = f"{outside.stopped.method} {outside.stopped.path}"
        message = f"The integration writes {what} outside of a step; this is a bug of it."
        return Run(stopped=dry[0].stopped, problems=[SetupProblem(field="", message=message, code="unsafe_write")])
    except StepNamedTwice as error:
        message = f"The integration names two steps alike; this is a bug of it. {error}"
        return Run(stopped=dry[0].stopped, problems=[SetupProblem(field="", message=message, code="unsafe_write")])
    except Rejected as error:
        found = [SetupProblem(field=one.field, message=one.message, code=one.code) for one in error.problems]
        found = found or [SetupProblem(field="", message=str(error), code="vendor_refused")]
        return Run(stopped=dry[0].stopped, problems=found)
    except MappingBroken as error:
        broken = [SetupProblem(field=key, message=str(error), code="mapping_broken") for key in error.fields or [""]]
        return Run(stopped=dry[0].stopped, problems=broken)
    except ReauthRequired as error:
        await note_reauth(services, context.connection, error)
        raise
    doubts = existing.not_checked(there, push.duplicates)
    return Run(stopped=dry[0].stopped, result=result, existing=there.refs, doubts=doubts)


def _existing(manifest: Manifest, run: Run) -> list[str]:
    """Return the ids of the contacts that the vendor has with this e-mail."""
    if run.result is None:
        return []
    found = [
        record.ref.id
        for record in run.result.records
        if record.ref.kind == manifest.contact_kind and record.how != "created"
    ]
    return list(dict.fromkeys([*found, *(ref.id for ref in (*run.result.others, *run.existing))]))


def _verdict(manifest: Manifest, policy: str, run: Run) -> str:
    """Say in words what was found at the vendor, and what the policy does with it."""
    if run.result is None:
        return "Not decided: the integration refuses this signup."
    there = _existing(manifest, run)
    if not there:
        return f"{manifest.name} has no contact with this e-mail; a new one is made."
    chosen = next((one for one in manifest.duplicates if one.key == policy), None)
    how_many = "a contact" if len(there) == 1 else "contacts"
    found = f"{manifest.name} has {how_many} with this e-mail: {', '.join(there)}."
    does = "" if chosen is None else f" {chosen.label}: {chosen.description}"
    then = "" if run.result.cannot_qualify is None else f" {run.result.cannot_qualify}"
    return f"{found}{does}{then}"


def _shown(stopped: Stopped) -> PreviewRequest:
    body = msgspec.json.decode(stopped.content, type=dict) if stopped.content else None
    return PreviewRequest(step=stopped.step, method=stopped.method, path=stopped.path, body=body)
