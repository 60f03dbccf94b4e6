"""What the integration says of itself, as data: change it until the console shows the right forms."""

from gateway_acme.settings import RECEIVED
from gateway_schemas.connection import Limitation
from gateway_schemas.manifest import (
    ConnectStep,
    ContactSync,
    Credentials,
    DuplicatePolicy,
    Feed,
    Manifest,
    MappingRow,
    OptionSource,
    Parameter,
    RateBudget,
    RecordKind,
    Requirement,
    StepField,
    SyncRow,
    Target,
    Trigger,
)

TENANT = ConnectStep(
    key="tenant",
    kind="form",
    title="Your Acme account",
    instructions=["Open Settings in Acme.", "Copy the tenant id from the top of the page."],
    fields=[StepField(key="tenant", label="Tenant id", pattern=r"[0-9]+", help="Digits only.")],
)
APPROVAL = ConnectStep(  # leave it out when nobody has to approve anything
    key="approval",
    kind="approval",
    title="Approval",
    instructions=["We ask Acme to let us in; that takes a day or two. You need not wait here."],
)
FINALISE = ConnectStep(
    key="finalise",
    kind="form",
    title="Finalise",
    instructions=["Open Settings, then API access.", "Copy the client id and the client secret."],
    fields=[
        StepField(key="client_id", label="Client id"),
        StepField(key="client_secret", label="Client secret", secret=True),
    ],
)
ROWS = [
    MappingRow(record_kind="contact", field="name", label="Name", source="person.full_name", required="always"),
    MappingRow(record_kind="contact", field="email", label="Email", source="person.email", required="always"),
    MappingRow(record_kind="deal", field="title", label="Title", source="campaign.name", required="always"),
    MappingRow(
        record_kind="deal",
        field=None,
        label="Referral Code",
        source="person.code",
        required="with_qualification",
        why="Says whose signup this is.",
    ),
]
TRIGGERS = [
    Trigger(
        key="deal_won",
        label="A deal is won",
        record_kind="deal",
        targets=["deal"],
        requires=[Requirement(fact="won", label="The deal was won")],
        through={"deal": ["created"]},
        reversed_by=["lost"],
    ),
    Trigger(
        key="deal_stage",
        label="A deal reaches a stage",
        record_kind="deal",
        targets=["deal"],
        requires=[Requirement(fact="stage", parameter="stage", label="The deal reached the stage")],
        through={"deal": ["created"]},
        parameters=[Parameter(key="stage", label="Stage", source="stages", ordered=True)],
    ),
]
MANIFEST = Manifest(
    key="acme",
    name="Acme",
    category="crm",
    spec_version=1,
    logo_svg='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7"/></svg>',
    summary="Sends signups to Acme as a contact and a deal, and qualifies referrals by what becomes of the deal.",
    auth=Credentials(token_path="/token", base_url_setting="auth_url"),  # noqa: S106 - a path
    connect_steps=[TENANT, APPROVAL, FINALISE],
    record_kinds=[
        RecordKind(key="contact", label="Contact", is_contact=True),
        RecordKind(key="deal", label="Deal", sale_value=True),
    ],
    targets=[
        Target(
            key="deal",
            label="Contact and deal",
            creates=["contact", "deal"],
            rows={"referred": ROWS, "referrer": ROWS},
        )
    ],
    duplicates=[
        DuplicatePolicy(key="fill_empty", label="Use the contact", description="The deal is created on that contact.")
    ],
    triggers=TRIGGERS,
    option_sources=[OptionSource(key="stages", label="Stages")],
    feeds=[Feed(key="deals", label="Changed deals", interval_seconds=300, healthy_interval_seconds=900)],
    read_batch=20,
    settle_seconds=10,
    value_ready="The value is read when the referral qualifies.",
    rate_budget=RateBudget(burst_calls=50, burst_seconds=1),
    allowed_hosts=["api.acme.example"],
    contact_sync=ContactSync(
        rows=[
            SyncRow(field="name", label="Name", to="person.first_name", required=True, why="Who the referrer is."),
            SyncRow(field="email", label="Email", to="person.email", required=True, why="People are known by it."),
        ],
        no_write_back="Acme has no place for a link on a contact.",
        page=50,
    ),
    cannot=[Limitation(code="no_links", message="Acme has no place for a link on a contact.")],
    settings=RECEIVED,
)
