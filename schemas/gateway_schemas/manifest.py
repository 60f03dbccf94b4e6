"""The manifest: what an integration says of itself; forms, validation and flows read it."""

from typing import Literal

from msgspec import field

from gateway_schemas.base import Output
from gateway_schemas.connection import Category, Limitation
from gateway_schemas.records import FieldType

Role = Literal["referred", "referrer"]


class OAuth2(Output, frozen=True, kw_only=True, tag_field="scheme", tag="oauth2"):
    """OAuth 2.0 authorization code, described as data; the host makes every call.

    Attributes:
        authorize_path / token_path / revoke_path: Below the base URL; null: tokens cannot be revoked.
        base_url_setting / client_id_setting / client_secret_setting: Names of fields of the plugin's settings Struct.
        required_scopes: Without one of these the connection is refused, naming it.
        optional_scopes: Without one of these it is active with the limitation named here.
        refresh_unused_days: A refresh token dies after so many unused days; kept alive well before.
        host_suffixes: An ``api_domain`` of a token answer must be https under one of these (settings may add local
            ones).
        uninstall_by_callback: The vendor calls ``DELETE`` on the callback URL when a customer uninstalls.
        installs_without_state: Marketplace installs reach the callback with a code and no ``state``.
    """

    authorize_path: str
    token_path: str
    revoke_path: str | None
    base_url_setting: str
    client_id_setting: str
    client_secret_setting: str
    required_scopes: list[str]
    optional_scopes: dict[str, Limitation] = {}
    refresh_unused_days: int = 60
    host_suffixes: list[str] = []
    uninstall_by_callback: bool = False
    installs_without_state: bool = False


class CredentialHeader(Output, frozen=True, kw_only=True):
    """A header that carries a pasted value with each call of a connection.

    Attributes:
        name: The header's name, for example ``X-Api-Key``.
        field: Key of the field of a connect form whose value it carries; without a value it is not sent.
        prefix: Stands before the value, with its blank, for example ``Bearer `` or ``Token ``.
    """

    name: str
    field: str
    prefix: str = ""


class Credentials(Output, frozen=True, kw_only=True, tag_field="scheme", tag="credentials"):
    """Values that a person pastes, kept in the vault (ServiceTitan: client id, secret, booking provider).

    Attributes:
        token_path: Of a token endpoint, below its base URL. The host asks there with the values ``client_id`` and
            ``client_secret`` of the forms (grant ``client_credentials``), sends the token with every call as
            ``Authorization: Bearer …``, and renews it. Null: there are no tokens.
        base_url_setting: Name of the field of the plugin's settings with the base URL; needed with ``token_path``.
        headers: Sent with each call of a connection, such as an API key. What else a plugin sends it finds in
            ``connection.credentials``.
    """

    token_path: str | None = None
    base_url_setting: str | None = None
    headers: list[CredentialHeader] = []


class NoAuth(Output, frozen=True, kw_only=True, tag_field="scheme", tag="none"):
    """Nothing to authorise at the vendor."""


class AccountKey(Output, frozen=True, kw_only=True, tag_field="scheme", tag="account_key"):
    """The vendor calls us: connecting makes a key of the account, shown once; disconnecting revokes it.

    The key has one scope, the integration's key. Such an integration has no connect steps.

    Attributes:
        instructions: Numbered instructions for the person who takes the key to the vendor, one sentence each.
    """

    instructions: list[str] = []


class StepField(Output, frozen=True, kw_only=True):
    """One field of a connect form.

    Attributes:
        key: Under which ``connection.credentials`` has the value; in problems it is ``values.<key>``.
        label: The field's name for people.
        secret: Not shown while it is typed.
        pattern: Regular expression for the whole value; spaces around it are cut before.
        help / help_url: What to type, and where that is explained; ``help`` also stands in the problem of a value that
            does not match.
    """

    key: str
    label: str
    secret: bool = False
    pattern: str | None = None
    help: str | None = None
    help_url: str | None = None


class ConnectStep(Output, frozen=True, kw_only=True):
    """One step of connecting.

    Attributes:
        key: What ``verify_connection`` gets as ``step``.
        kind: ``redirect`` (OAuth), ``form`` (values), ``approval`` (the operator approves).
        instructions: Numbered instructions for the person who clicks, one sentence each.
    """

    key: str
    kind: Literal["redirect", "form", "approval"]
    title: str
    instructions: list[str] = []
    fields: list[StepField] = []


class MappingRow(Output, frozen=True, kw_only=True):
    """A row of a mapping: CRM field, and the source that is suggested for it.

    Attributes:
        record_kind: Kind whose field it is.
        field: Key of a built-in field; null for a custom field that is found by ``label``.
        label: The field's name for people, and the name that a custom field is looked for or created under.
        source: Suggested source, for example ``campaign.name``.
        required: ``always``, ``with_qualification`` (a rule is set), or ``never`` (only suggested).
        why: Why it is needed or suggested, a sentence for people.
        type: Type of a custom field to be created.
    """

    record_kind: str
    field: str | None
    label: str
    source: str | None
    required: Literal["always", "with_qualification", "never"] = "never"
    why: str = ""
    type: FieldType = "text"


class TargetOption(Output, frozen=True, kw_only=True):
    """A choice that belongs to a target (pipeline, initial stage, owner).

    Attributes:
        key: Under which ``push.target_options`` has the chosen value.
        required: A setup must choose.
        source: Option source for ``list_options``.
        parent: Key of the target option whose value is the parent of this one.
    """

    key: str
    label: str
    source: str
    parent: str | None = None
    required: bool = False


class Target(Output, frozen=True, kw_only=True):
    """What a signup creates.

    Attributes:
        key: What ``push.target`` says.
        creates: Record kinds in the order in which they are created.
        rows: Required and suggested mapping rows per role.
        roles: For whom it is offered.
    """

    key: str
    label: str
    creates: list[str]
    rows: dict[Role, list[MappingRow]]
    options: list[TargetOption] = []
    roles: tuple[Role, ...] = ("referred", "referrer")


class RecordKind(Output, frozen=True, kw_only=True):
    """A kind of record at the vendor, with the name people know it by.

    Attributes:
        key: What references, fields and rows name as the kind.
        label: One such record, as people call it.
        is_contact: A contact; one kind at most.
        merges: Records of this kind can be merged; links follow the survivor.
        sale_value: Fields of this kind may be chosen as the sale value.
    """

    key: str
    label: str
    is_contact: bool = False
    merges: bool = False
    sale_value: bool = False


class DuplicatePolicy(Output, frozen=True, kw_only=True):
    """What to do when the vendor has a contact with this e-mail already, in words for people.

    Attributes:
        key: ``fill_empty`` (use the contact and write what is empty), ``update`` (write all that is mapped), ``create``
            (make another one), ``skip`` (write nothing; the referral cannot qualify).
        label / description: What the plugin really does, for people.
    """

    key: Literal["fill_empty", "update", "create", "skip"]
    label: str
    description: str


class Parameter(Output, frozen=True, kw_only=True):
    """A value that a trigger asks for.

    Attributes:
        key: What a ``Requirement`` names.
        required: A rule of this trigger must choose one.
        choices: The fixed list.
        source: Option source for ``list_options``; null for a fixed list in ``choices``.
        parent: Key of the parameter whose value is the parent of this one.
        ordered: Options have a rank; *this or a later one* is offered (``match``).
    """

    key: str
    label: str
    source: str | None = None
    parent: str | None = None
    required: bool = True
    ordered: bool = False
    choices: list[str] = []


class Requirement(Output, frozen=True, kw_only=True):
    """One condition of a trigger: a fact that the record must have, or have had.

    Attributes:
        fact: Name of the fact.
        parameter: Parameter whose value (or a later one) the fact must have; null when the fact alone is enough.
        label: The condition in words, for *why not qualified yet*.
    """

    fact: str
    parameter: str | None = None
    label: str = ""


class Trigger(Output, frozen=True, kw_only=True):
    """Something that the vendor lets us watch and that may qualify a referral.

    Attributes:
        key: What a rule of a setup names.
        label: What happens, for people.
        record_kind: Kind of the record that carries the facts.
        targets: Targets for which it is offered.
        through: By target: how the record may belong to the referral, in this order: ``created`` (we made it),
            ``converted`` (its origin is a record that we made), ``contact`` (it belongs to the contact and was added
            after the signup).
        requires: Facts that the *same* record must have had, in any order and at any time.
        reversed_by: States of the record that take the qualification back, where the setup allows it.
    """

    key: str
    label: str
    record_kind: str
    targets: list[str]
    requires: list[Requirement]
    through: dict[str, list[Literal["created", "converted", "contact"]]]
    parameters: list[Parameter] = []
    reversed_by: list[str] = []


class Feed(Output, frozen=True, kw_only=True):
    """A feed of changes that is polled.

    Attributes:
        key: What ``poll_changes`` gets as ``feed``.
        interval_seconds: Without healthy webhooks.
        healthy_interval_seconds: With healthy webhooks.
        at_start: Also polled at start, after gaps and after re-authorisation.
        contacts: Its pages tell of contacts (``ContactSeen``). The contact index is complete once every such feed
            was read to its end (``ChangePage.more`` false) from the beginning.
        page_seconds: How long one page may take.
    """

    key: str
    label: str
    interval_seconds: int
    healthy_interval_seconds: int
    at_start: bool = True
    contacts: bool = False
    page_seconds: float = 60.0


class CallWindow(Output, frozen=True, kw_only=True):
    """A rolling window that some of the vendor's calls have of their own, beside the window of all calls.

    Attributes:
        name: A plugin names it with each call that counts (``VendorHttp.request(window=…)``).
        calls / seconds: So many calls in so many seconds.
    """

    name: str
    calls: int
    seconds: float


class RateBudget(Output, frozen=True, kw_only=True):
    """What the vendor allows.

    Attributes:
        concurrency: Tasks of one vendor tenant that run at the same time.
        burst_calls / burst_seconds: Calls in a rolling window, for the smallest plan.
        windows: Narrower windows of some calls, such as searches.
        daily: Units a day, for the smallest plan; null when the vendor counts none. Learnt from headers where sent.
        sweep_share: Share of the daily budget that sweeps and polls may use at most.
        reserve_share: Share kept for calls made while a person waits.
        remaining_header / limit_header: Headers of an answer that tell the daily units left and allowed; they
            correct our count.
    """

    burst_calls: int
    burst_seconds: float
    windows: list[CallWindow] = []
    daily: int | None = None
    sweep_share: float = 0.05
    reserve_share: float = 0.1
    concurrency: int = 4
    remaining_header: str | None = None
    limit_header: str | None = None


class OptionSource(Output, frozen=True, kw_only=True):
    """A list that ``list_options`` can read.

    Attributes:
        key: What ``list_options`` gets as ``source``.
        parent: Key of the source whose options these belong to (stages: pipelines).
    """

    key: str
    label: str
    parent: str | None = None


class SyncRow(Output, frozen=True, kw_only=True):
    """A suggested row of a contact sync's mapping: a contact's field becomes a value of the referrer.

    Attributes:
        field: Key of the contact's field.
        label: The field's name for people.
        to: ``person.first_name``, ``person.email`` …
        required: The sync cannot do without it.
        why: Why it is needed or suggested, a sentence for people.
    """

    field: str
    label: str
    to: str
    required: bool = False
    why: str = ""


class WriteBackRow(Output, frozen=True, kw_only=True):
    """A custom field that a contact sync may write to.

    Attributes:
        source: ``person.link``, ``person.referral_count`` …
        label: The name that the field is looked for or created under.
        type: Of the field when it is created.
        required: Needed once anything is written back.
    """

    source: str
    label: str
    type: FieldType = "text"
    required: bool = False
    why: str = ""


class ContactSync(Output, frozen=True, kw_only=True):
    """What a contact sync asks for and costs.

    Attributes:
        rows: Required and suggested rows of the mapping.
        write_back: Fields that links and counts may go to; empty where the vendor takes none.
        no_write_back: Why the vendor takes none, a sentence for people.
        filters: Option source of saved filters; null: all contacts only.
        do_not_mail_field: Key of a field of a contact whose true value says that nothing may be sent to it.
        page: Contacts of a page, for estimates.
        page_seconds: How long one page may take.
        read_units / write_units: Units of the daily budget that a page, and a write to one contact, take.
    """

    rows: list[SyncRow] = []
    write_back: list[WriteBackRow] = []
    no_write_back: str | None = None
    filters: str | None = None
    do_not_mail_field: str | None = None
    page: int = 100
    page_seconds: float = 60.0
    read_units: int = 1
    write_units: int = 1


class ReceivedSetting(Output, frozen=True, kw_only=True):
    """A setting of the plugin as ``doctor`` and the documentation show it.

    Attributes:
        name: As in the variable ``GATEWAY_{KEY}_{NAME}``: upper case.
        required: The integration cannot be used without it.
        secret: Its value is never shown.
        help: What it is for.
    """

    name: str
    required: bool
    secret: bool
    help: str


class Manifest(Output, frozen=True, kw_only=True):
    """All that an integration says of itself.

    Attributes:
        key: The integration's key, the same as the names of the entry points.
        name: What people call the vendor.
        category: ``crm``: an account has one of them; ``automation``: it may have others beside.
        logo_svg: The whole ``<svg xmlns=…>``; without it people see the first letter of ``name``.
        summary: What it does, a sentence for the catalogue.
        auth: How calls are authorised.
        connect_steps: What a person does to connect, in this order.
        record_kinds: Every kind that hooks name.
        targets: What a signup can create; a setup chooses one.
        duplicates / default_duplicates: Policies that are offered, and the one of a setup that chooses none.
        triggers: What can be watched, and qualify.
        option_sources: What ``list_options`` can list.
        feeds: What ``poll_changes`` can read.
        contact_kind: Key of the record kind of contacts.
        help_url: A page for people who connect.
        rate_budget: What the vendor allows; null: the host counts nothing.
        settings: The plugin's settings for ``doctor``.
        spec_version: Hook spec that the plugin was written for (see ``gateway.hookspecs.SPEC_VERSION``).
        read_batch: References that one ``read_records`` call takes at most.
        settle_seconds: After this long, what a call may have done at the vendor is visible to ``find``.
        value_ready: When a sale value is final, in words for people.
        deliveries_per_second: At most so many events a second go to one URL of a subscription; null: no limit.
        allowed_hosts: Host names (suffixes with a leading dot) that the plugin's client may reach; base URLs of
            settings are added.
        webhook_objects: What we subscribe to, for people.
        cannot: What the vendor cannot do and why.
        contact_sync: What a contact sync asks for, where contacts can be read.
    """

    key: str
    name: str
    category: Category
    spec_version: int
    logo_svg: str
    summary: str
    auth: OAuth2 | Credentials | NoAuth | AccountKey
    connect_steps: list[ConnectStep]
    record_kinds: list[RecordKind] = []
    targets: list[Target] = []
    duplicates: list[DuplicatePolicy] = []
    default_duplicates: str = "fill_empty"
    triggers: list[Trigger] = []
    option_sources: list[OptionSource] = []
    feeds: list[Feed] = []
    contact_kind: str = "contact"
    read_batch: int = 50
    settle_seconds: float = 30
    value_ready: str = ""
    rate_budget: RateBudget | None = None
    deliveries_per_second: int | None = None
    allowed_hosts: list[str] = []
    cannot: list[Limitation] = []
    help_url: str | None = None
    settings: list[ReceivedSetting] = []
    contact_sync: ContactSync = field(default_factory=ContactSync)


class CatalogueEntry(Output, frozen=True, kw_only=True):
    """An integration of the catalogue.

    Attributes:
        usable: It can be connected; else ``problem`` says why not (only host keys see those without a manifest).
        version: Of the plugin's distribution.
        capabilities: What it implements.
        manifest: What it says of itself; null when it could not be loaded.
    """

    key: str
    usable: bool
    problem: str | None
    version: str
    capabilities: list[str]
    manifest: Manifest | None
