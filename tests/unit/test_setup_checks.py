from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.campaigns.setup_checks import Live, check, needs, or_later
from gateway.sdk.mapping import Locality
from gateway.storage.campaigns import CampaignRow
from gateway_schemas.base import Money
from gateway_schemas.campaign import (
    DefaultEntry,
    FormField,
    MappingEntry,
    QualificationRule,
    SaleValueSource,
    SetupInput,
)
from gateway_schemas.manifest import (
    Credentials,
    DuplicatePolicy,
    Manifest,
    MappingRow,
    OptionSource,
    Parameter,
    RecordKind,
    Requirement,
    Target,
    TargetOption,
    Trigger,
)
from gateway_schemas.records import Field, Option

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def row(kind, field, label, source, required="never", **changes):
    return MappingRow(record_kind=kind, field=field, label=label, source=source, required=required, **changes)


CONTACT_ROWS = [
    row("contact", "first_name", "First Name", "person.first_name", "always", why="No contact without a name."),
    row("contact", "phone", "Phone", "person.phone"),
]
LEAD_ROWS = [
    row("lead", "title", "Title", "campaign.name", "always"),
    row("lead", None, "Referral Code", "person.code", "with_qualification", why="It finds the record again."),
    row("lead", None, "Referral Link", "person.link"),
    row("lead", None, "Referrer", "referrer.full_name"),
    row("lead", "not_there", "Extra", "person.id"),
    row("lead", None, "Company", "person.fields.company"),
]
MANIFEST = Manifest(
    key="toy",
    name="Toy CRM",
    category="crm",
    spec_version=1,
    logo_svg="",
    summary="",
    auth=Credentials(),
    connect_steps=[],
    record_kinds=[
        RecordKind(key="contact", label="Contact", is_contact=True),
        RecordKind(key="lead", label="Lead", sale_value=True),
        RecordKind(key="deal", label="Deal", sale_value=True),
    ],
    targets=[
        Target(
            key="contact",
            label="Contact only",
            creates=["contact"],
            rows={"referred": CONTACT_ROWS, "referrer": CONTACT_ROWS},
        ),
        Target(
            key="lead",
            label="Contact and lead",
            creates=["contact", "lead"],
            rows={
                "referred": CONTACT_ROWS + LEAD_ROWS,
                "referrer": [*CONTACT_ROWS, LEAD_ROWS[0], row("lead", None, "Referral Code", "person.code", "always")],
            },
            options=[
                TargetOption(key="pipeline", label="Pipeline", source="pipelines"),
                TargetOption(key="stage", label="Stage", source="stages", parent="pipeline"),
                TargetOption(key="owner", label="Owner", source="users", required=True),
            ],
        ),
        Target(key="private", label="Private", creates=["contact"], rows={}, roles=("referrer",)),
    ],
    duplicates=[
        DuplicatePolicy(key="fill_empty", label="Fill", description=""),
        DuplicatePolicy(key="skip", label="Skip", description=""),
    ],
    triggers=[
        Trigger(
            key="stage",
            label="A stage is reached",
            record_kind="deal",
            targets=["lead"],
            requires=[Requirement(fact="stage", parameter="stage")],
            through={"lead": ["converted"]},
            parameters=[
                Parameter(key="pipeline", label="Pipeline", source="pipelines"),
                Parameter(key="stage", label="Stage", source="stages", parent="pipeline", ordered=True),
                Parameter(key="status", label="Status", choices=["new", "busy", "done"], ordered=True, required=False),
            ],
            reversed_by=["lost"],
        ),
        Trigger(key="won", label="Won", record_kind="deal", targets=["contact"], requires=[], through={}),
    ],
    option_sources=[
        OptionSource(key="pipelines", label="Pipelines"),
        OptionSource(key="stages", label="Stages", parent="pipelines"),
        OptionSource(key="users", label="Users"),
    ],
)
CAMPAIGN = CampaignRow(
    account_id="acme",
    id="spring",
    name="Spring",
    state="draft",
    fields=[
        FormField(key="size", label="Size", type="number"),
        FormField(key="note", label="Note"),
        FormField(key="own", label="Own", role="referrer"),
    ],
    link_template="https://refer.example/{code}",
    rewards=[],
    created_at=NOW,
    updated_at=NOW,
)


def custom(key, label, kind="text", **changes):
    return Field(key=key, label=label, type=kind, custom=True, **changes)


FIELDS = {
    "contact": [
        Field(key="first_name", label="First Name", type="text"),
        Field(key="phone", label="Phone", type="phone"),
        Field(key="made", label="Made", type="datetime", writable=False),
    ],
    "lead": [
        Field(key="title", label="Title", type="text"),
        Field(key="value", label="Value", type="money"),
        Field(key="strange", label="Strange", type="other"),
        custom("c_code", "referral code "),
        custom("c_size", "Size", "number"),
        custom("c_kind", "Kind", "option", options=[Option(value="1", label="One")]),
        custom("c_text", "Text"),
    ],
    "deal": [
        Field(key="value", label="Value", type="money"),
        custom("d_text", "Worth"),
        custom("d_date", "Day", "date"),
    ],
}
PIPELINES = [Option(value="1", label="Sales"), Option(value="2", label="Partners")]
STAGES = [
    Option(value="10", label="New", parent="1", rank=1),
    Option(value="11", label="Talking", parent="1", rank=2),
    Option(value="12", label="Signed", parent="1", rank=3),
    Option(value="20", label="Other", parent="2", rank=9),
    Option(value="13", label="On ice", parent="1"),
]
OPTIONS = {"pipelines": PIPELINES, "stages": STAGES, "users": [Option(value="u1", label="Uma")]}


def live_for(role, body, fields=FIELDS, options=OPTIONS):
    asked = needs(MANIFEST, role, body)
    found = {
        (source, parent): [one for one in options[source] if parent is None or one.parent == parent]
        for source, parent in asked.options
    }
    return Live({kind: fields[kind] for kind in asked.kinds}, found)


def checked(role="referred", fields=FIELDS, options=OPTIONS, campaign=CAMPAIGN, **changes):
    values = {"target": "lead", "target_options": {"owner": "u1"}, "use_suggested": True}
    body = SetupInput(**(values | changes))
    return check(MANIFEST, campaign, role, body, live_for(role, body, fields, options), Locality(currency="EUR"))


def problems(**changes):
    return [(one.field, one.code) for one in checked(**changes).problems]


def entry(kind, field, source):
    return MappingEntry(record_kind=kind, field=field, source=source)


def rule(**changes):
    return QualificationRule(**{"trigger": "stage", "parameters": {"pipeline": "1", "stage": "11"}, **changes})


# --- suggested and required rows -------------------------------------------------------------------


def test_the_suggested_mapping_alone_makes_a_setup():
    found = checked()
    assert found.problems == []
    assert found.body.mapping == [
        entry("contact", "first_name", "person.first_name"),
        entry("contact", "phone", "person.phone"),
        entry("lead", "title", "campaign.name"),
        entry("lead", "c_code", "person.code"),
    ]
    assert found.body.duplicates == "fill_empty"
    assert not found.body.use_suggested


def test_suggested_rows_leave_given_ones_and_defaults_alone():
    found = checked(
        mapping=[entry("lead", "title", "person.full_name")],
        defaults=[DefaultEntry(record_kind="contact", field="phone", value="+12025550100")],
    )
    assert found.problems == []
    assert entry("lead", "title", "campaign.name") not in found.body.mapping
    assert entry("contact", "phone", "person.phone") not in found.body.mapping


def test_rows_about_the_referrer_are_suggested_where_they_belong():
    fields = FIELDS | {"lead": [*FIELDS["lead"], custom("c_ref", "Referrer")]}
    assert checked(fields=fields).body.referrer_fields == [entry("lead", "c_ref", "referrer.full_name")]


def test_a_code_that_is_mapped_by_hand_is_not_suggested_again():
    found = checked(mapping=[entry("lead", "c_text", "person.code")], qualification=rule())
    assert found.problems == []
    assert [one.field for one in found.body.mapping if one.source == "person.code"] == ["c_text"]


def test_without_suggestions_every_required_row_is_asked_for():
    assert problems(use_suggested=False) == [
        ("mapping.contact.first_name", "required"),
        ("mapping.lead.title", "required"),
    ]


def test_a_default_is_enough_for_a_required_row():
    given = [DefaultEntry(record_kind="lead", field="title", value="Referral")]
    assert (
        problems(use_suggested=False, mapping=[entry("contact", "first_name", "person.first_name")], defaults=given)
        == []
    )


@pytest.mark.parametrize("field", ["c_code", "c_text"])
def test_a_rule_asks_for_the_code_in_any_custom_field(field):
    mapping = [entry("contact", "first_name", "person.first_name"), entry("lead", "title", "campaign.name")]
    missing = checked(use_suggested=False, mapping=mapping, qualification=rule())
    assert [(one.field, one.code) for one in missing.problems] == [("mapping.lead.Referral Code", "required")]
    assert "It finds the record again." in missing.problems[0].message
    assert (
        problems(use_suggested=False, mapping=[*mapping, entry("lead", field, "person.code")], qualification=rule())
        == []
    )


def test_a_built_in_field_does_not_hold_the_code():
    mapping = [entry("contact", "first_name", "person.first_name"), entry("lead", "title", "person.code")]
    assert problems(use_suggested=False, mapping=mapping, qualification=rule()) == [
        ("mapping.lead.Referral Code", "required")
    ]


def test_a_referrer_always_needs_the_code():
    fields = FIELDS | {"lead": [one for one in FIELDS["lead"] if one.key != "c_code"]}
    assert problems(role="referrer", fields=fields) == [("mapping.lead.Referral Code", "required")]
    assert problems(role="referrer") == []


@pytest.mark.parametrize(("changes", "without"), [({"qualification": rule()}, "is refused"), ({}, " empty")])
def test_a_campaign_that_makes_no_codes_is_a_warning_where_a_code_is_mapped(changes, without):
    campaign = msgspec.structs.replace(CAMPAIGN, link_template=None)
    found = checked(campaign=campaign, **changes)
    assert found.problems == []
    (warning,) = found.resolved.warnings
    assert (warning.field, warning.code) == ("mapping.lead.Referral Code.source", "no_link_template")
    assert without in warning.message
    assert checked(**changes).resolved.warnings == []
    constant = [DefaultEntry(record_kind="lead", field="c_code", value="none")]
    assert checked(campaign=campaign, defaults=constant, **changes).resolved.warnings == []


def test_two_fields_of_the_suggested_name_are_named_both():
    fields = FIELDS | {"lead": [*FIELDS["lead"], custom("c_code_2", "Referral Code")]}
    found = checked(fields=fields, qualification=rule())
    assert [(one.field, one.code) for one in found.problems] == [("mapping.lead.Referral Code", "ambiguous_field")]
    assert "c_code and c_code_2" in found.problems[0].message


def test_two_fields_of_a_name_that_is_only_suggested_are_a_warning():
    fields = FIELDS | {"lead": [*FIELDS["lead"], custom("c_code_2", "Referral Code")]}
    found = checked(fields=fields)
    assert found.problems == []
    assert [(one.field, one.code) for one in found.resolved.warnings] == [
        ("mapping.lead.Referral Code", "ambiguous_field")
    ]


def test_needed_fields_are_marked_and_others_are_not():
    found = checked(qualification=rule(), mapping=[entry("lead", "c_size", "person.fields.size")])
    marked = {one.key: one.required for kind in found.resolved.fields.values() for one in kind}
    assert marked == {"first_name": True, "phone": False, "title": True, "c_code": True, "c_size": False}


# --- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "code"),
    [
        (entry("deal", "value", "person.fields.size"), "mapping[1].record_kind", "wrong_record_kind"),
        (entry("lead", "gone", "person.code"), "mapping[1].field", "unknown_field"),
        (entry("contact", "made", "signup.signed_up_at"), "mapping[1].field", "not_writable"),
        (entry("lead", "strange", "person.code"), "mapping[1].field", "not_writable"),
        (entry("lead", "c_size", "person.fields.note"), "mapping[1].field", "wrong_type"),
        (entry("lead", "c_size", "person.email"), "mapping[1].field", "wrong_type"),
        (entry("lead", "c_kind", "person.shoe_size"), "mapping[1].source", "unknown_source"),
        (entry("lead", "c_kind", "person.fields.colour"), "mapping[1].source", "unknown_source"),
        (entry("lead", "c_kind", "person.fields.own"), "mapping[1].source", "unknown_source"),
        (entry("lead", "c_text", "campaign.name"), "mapping[1].field", "duplicate_field"),
    ],
)
def test_a_wrong_row_is_named(given, path, code):
    assert problems(mapping=[entry("lead", "c_text", "person.id"), given]) == [(path, code)]


def test_one_field_is_not_written_by_mapping_and_referrer_rows():
    found = problems(
        mapping=[entry("lead", "c_text", "person.id")], referrer_fields=[entry("lead", "c_text", "referrer.email")]
    )
    assert found == [("referrer_fields[0].field", "duplicate_field")]


def test_referrer_rows_take_referrer_sources():
    assert problems(referrer_fields=[entry("lead", "c_text", "person.id")]) == [
        ("referrer_fields[0].source", "wrong_source")
    ]


def test_a_referrer_may_have_been_referred_too():
    found = checked(
        role="referrer",
        mapping=[entry("lead", "c_text", "referrer.email")],
        referrer_fields=[entry("contact", "phone", "referrer.code")],
    )
    assert [(one.field, one.code) for one in found.problems] == [("referrer_fields[0].field", "wrong_type")]
    given = [entry("lead", "c_text", "referrer.email")]
    found = checked(role="referrer", referrer_fields=given)
    assert found.problems == []
    assert found.body.referrer_fields == given


@pytest.mark.parametrize("part", ["mapping", "referrer_fields"])
def test_what_is_required_of_a_referrer_does_not_hang_on_who_referred_them(part):
    given = {part: [entry("lead", "title", "referrer.full_name")]}
    found = checked(role="referrer", **given)
    assert [(one.field, one.code) for one in found.problems] == [(f"{part}[0].source", "optional_source")]
    assert "default" in found.problems[0].message
    default = DefaultEntry(record_kind="lead", field="title", value="Joined")
    assert problems(role="referrer", defaults=[default], **given) == []
    assert problems(role="referred", **given) == []


@pytest.mark.parametrize(
    ("field", "value", "path", "code"),
    [
        ("gone", "x", "defaults[0].field", "unknown_field"),
        ("strange", "x", "defaults[0].field", "not_writable"),
        ("c_size", "many", "defaults[0].value", "unfit_value"),
        ("c_kind", "Two", "defaults[0].value", "unfit_value"),
        ("c_kind", None, "defaults[0].value", "missing_value"),
        ("c_text", " ", "defaults[0].value", "missing_value"),
    ],
)
def test_a_wrong_default_is_named(field, value, path, code):
    assert problems(defaults=[DefaultEntry(record_kind="lead", field=field, value=value)]) == [(path, code)]


def test_right_defaults_are_taken_once_a_field():
    given = [
        DefaultEntry(record_kind="lead", field="c_kind", value="one"),
        DefaultEntry(record_kind="lead", field="value", value=Money(amount=Decimal("9.50"), currency="USD")),
    ]
    assert problems(defaults=given) == []
    assert problems(defaults=[*given, given[0]]) == [("defaults[2].field", "duplicate_field")]


# --- target, options, policy -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"target": "deal"}, "target", "unknown_target"),
        ({"target": "private"}, "target", "unknown_target"),
        ({"target_options": {}}, "target_options.owner", "required"),
        ({"target_options": {"owner": "u2"}}, "target_options.owner", "unknown_option"),
        ({"target_options": {"owner": "u1", "colour": "red"}}, "target_options.colour", "unknown_option"),
        ({"target_options": {"owner": "u1", "pipeline": "9"}}, "target_options.pipeline", "unknown_option"),
        ({"target_options": {"owner": "u1", "pipeline": "1", "stage": "20"}}, "target_options.stage", "unknown_option"),
        ({"duplicates": "create"}, "duplicates", "unknown_policy"),
    ],
)
def test_a_wrong_choice_is_named(changes, path, code):
    assert problems(**changes) == [(path, code)]


def test_a_stage_belongs_to_the_chosen_pipeline_or_to_any():
    assert problems(target_options={"owner": "u1", "pipeline": "1", "stage": "10"}) == []
    found = checked(target_options={"owner": "u1", "stage": "20"})
    assert found.problems == []
    assert found.resolved.labels == {"owner:u1": "Uma", "stage:20": "Other"}


def test_a_target_may_be_offered_to_one_role():
    assert problems(role="referrer", target="private", target_options={}) == []


# --- qualification and sale value ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "code"),
    [
        (rule(trigger="magic"), "qualification.trigger", "unknown_trigger"),
        (QualificationRule(trigger="won"), "qualification.trigger", "unknown_trigger"),
        (rule(parameters={"pipeline": "1"}), "qualification.parameters.stage", "required"),
        (rule(parameters={"pipeline": "1", "stage": "99"}), "qualification.parameters.stage", "unknown_option"),
        (rule(parameters={"pipeline": "2", "stage": "11"}), "qualification.parameters.stage", "unknown_option"),
        (
            rule(parameters={"pipeline": "1", "stage": "11", "x": "1"}),
            "qualification.parameters.x",
            "unknown_parameter",
        ),
        (
            rule(parameters={"pipeline": "1", "stage": "11", "status": "old"}),
            "qualification.parameters.status",
            "unknown_option",
        ),
    ],
)
def test_a_wrong_rule_is_named(given, path, code):
    assert problems(qualification=given) == [(path, code)]


def test_only_referred_people_qualify_and_bring_sales():
    found = problems(
        role="referrer", qualification=rule(), sale_value=SaleValueSource(record_kind="deal", field="value")
    )
    assert found == [("qualification", "wrong_role"), ("sale_value", "wrong_role")]


def test_a_rule_that_nothing_reverses_is_not_reversible():
    found = problems(
        target="contact", target_options={}, qualification=QualificationRule(trigger="won", reverse="until_issued")
    )
    assert found == [("qualification.reverse", "not_reversible")]
    assert problems(qualification=rule(reverse="until_issued")) == []


@pytest.mark.parametrize(
    ("given", "accepts"),
    [
        (rule(), {"pipeline": ["1"], "stage": ["11", "12"]}),
        (rule(match="exactly"), {"pipeline": ["1"], "stage": ["11"]}),
        (rule(parameters={"pipeline": "1", "stage": "12"}), {"pipeline": ["1"], "stage": ["12"]}),
        (rule(parameters={"pipeline": "1", "stage": "13"}), {"pipeline": ["1"], "stage": ["13"]}),
        (
            rule(parameters={"pipeline": "1", "stage": "12", "status": "busy"}),
            {"pipeline": ["1"], "stage": ["12"], "status": ["busy", "done"]},
        ),
    ],
)
def test_what_counts_is_written_out(given, accepts):
    found = checked(qualification=given)
    assert found.problems == []
    assert found.resolved.accepts == accepts
    assert found.resolved.labels["pipeline:1"] == "Sales"


def test_every_value_of_a_rule_has_its_name_and_not_only_those_that_count():
    """What was seen instead is told by name: a deal passes stages that do not count."""
    found = checked(qualification=rule(parameters={"pipeline": "1", "stage": "12"}))
    assert found.resolved.accepts["stage"] == ["12"]
    names = {key: label for key, label in found.resolved.labels.items() if key.startswith("stage:")}
    assert names == {f"stage:{one.value}": one.label for one in STAGES if one.parent == "1"}


def deals(**changes):
    """Return the manifest with a target that makes deals, which the stage trigger counts."""
    lead = MANIFEST.targets[1]
    deal = msgspec.structs.replace(lead, key="deal", label="Contact and deal", creates=["contact", "deal"], rows={})
    stage = msgspec.structs.replace(
        MANIFEST.triggers[0], targets=["lead", "deal"], through={"lead": ["converted"], "deal": ["created"]}, **changes
    )
    return msgspec.structs.replace(MANIFEST, targets=[*MANIFEST.targets, deal], triggers=[stage])


def starting(manifest, chosen, given, target="deal"):
    body = SetupInput(target=target, target_options={"owner": "u1"} | chosen, qualification=given)
    asked = needs(manifest, "referred", body)
    found = {
        (source, parent): [one for one in OPTIONS[source] if parent is None or one.parent == parent]
        for source, parent in asked.options
    }
    live = Live({kind: FIELDS[kind] for kind in asked.kinds}, found)
    return [
        one for one in check(manifest, CAMPAIGN, "referred", body, live, Locality()).problems if "stage" in one.field
    ]


@pytest.mark.parametrize(
    ("chosen", "given", "refused"),
    [
        ({"pipeline": "1", "stage": "11"}, rule(), True),
        ({"pipeline": "1", "stage": "12"}, rule(), True),
        ({"stage": "12"}, rule(), True),
        ({"pipeline": "1", "stage": "11"}, rule(match="exactly"), True),
        ({"pipeline": "1", "stage": "10"}, rule(), False),
        ({"pipeline": "1", "stage": "12"}, rule(match="exactly"), False),
        ({"pipeline": "2", "stage": "20"}, rule(), False),
        ({}, rule(), False),
        ({"pipeline": "1"}, rule(), False),
    ],
)
def test_a_record_must_not_begin_where_it_qualifies(chosen, given, refused):
    found = starting(deals(), chosen, given)
    assert [(one.field, one.code) for one in found] == [("target_options.stage", "qualifies_at_once")] * refused
    assert not refused or "choose an earlier" in found[0].message


def test_where_every_beginning_qualifies_none_is_needed_to_refuse():
    stages = [one for one in STAGES if one.rank]
    first = rule(parameters={"pipeline": "1", "stage": "10"})
    body = SetupInput(target="deal", target_options={"owner": "u1", "pipeline": "1"}, qualification=first)
    found = {("users", None): OPTIONS["users"], ("pipelines", None): PIPELINES, ("stages", "1"): stages[:3]}
    live = Live(FIELDS, found)
    checked_body = check(deals(), CAMPAIGN, "referred", body, live, Locality())
    assert [(one.field, one.code) for one in checked_body.problems] == [("target_options.stage", "qualifies_at_once")]


def test_a_beginning_that_does_not_qualify_alone_is_no_problem():
    begun = {"pipeline": "1", "stage": "11"}
    assert starting(MANIFEST, begun, rule(), target="lead") == []  # the deal that counts is not made by us
    both = [Requirement(fact="stage", parameter="stage"), Requirement(fact="won")]
    assert starting(deals(requires=both), begun, rule()) == []


OPTION = st.builds(
    Option,
    value=st.text("abc", min_size=1, max_size=2),
    label=st.just("x"),
    parent=st.sampled_from([None, "p", "q"]),
    rank=st.one_of(st.none(), st.integers(0, 5)),
)


@given(st.lists(OPTION, min_size=1, max_size=8))
def test_or_later_holds_the_chosen_one_and_none_before_it(options):
    chosen = options[0]
    counted = or_later(chosen, options)
    assert chosen in counted
    for option in counted:
        assert option.parent == chosen.parent
        assert chosen.rank is None or option.rank >= chosen.rank
    assert chosen.rank is not None or counted == [chosen]


@pytest.mark.parametrize(
    ("kind", "field", "path", "code"),
    [
        ("contact", "phone", "sale_value.record_kind", "wrong_record_kind"),
        ("nothing", "value", "sale_value.record_kind", "wrong_record_kind"),
        ("deal", "gone", "sale_value.field", "unknown_field"),
        ("deal", "d_date", "sale_value.field", "wrong_type"),
    ],
)
def test_a_wrong_sale_value_is_named(kind, field, path, code):
    assert problems(sale_value=SaleValueSource(record_kind=kind, field=field)) == [(path, code)]


def test_a_sale_value_in_text_is_saved_with_a_warning():
    found = checked(sale_value=SaleValueSource(record_kind="deal", field="d_text"))
    assert found.problems == []
    assert [(one.field, one.code) for one in found.resolved.warnings] == [("sale_value.field", "text_amount")]
    assert [one.key for one in found.resolved.fields["deal"]] == ["d_text"]
    assert checked(sale_value=SaleValueSource(record_kind="lead", field="value")).resolved.warnings == []


# --- again -----------------------------------------------------------------------------------------


def test_a_saved_setup_is_found_right_again_and_unchanged():
    first = checked(qualification=rule(), sale_value=SaleValueSource(record_kind="deal", field="value"))
    again = check(MANIFEST, CAMPAIGN, "referred", first.body, live_for("referred", first.body), Locality())
    assert again == first


def test_drift_is_found_in_a_saved_setup():
    body = checked(qualification=rule()).body
    fields = FIELDS | {"lead": [one for one in FIELDS["lead"] if one.key != "c_code"]}
    options = OPTIONS | {"stages": [one for one in STAGES if one.value != "11"]}
    found = check(MANIFEST, CAMPAIGN, "referred", body, live_for("referred", body, fields, options), Locality())
    assert [(one.field, one.code) for one in found.problems] == [
        ("qualification.parameters.stage", "unknown_option"),
        ("mapping[3].field", "unknown_field"),
    ]


def test_nothing_is_read_for_a_target_that_is_not_there():
    assert needs(MANIFEST, "referred", SetupInput(target="x")).kinds == frozenset()


@given(
    st.builds(
        SetupInput,
        target=st.sampled_from(["lead", "contact", "x"]),
        target_options=st.dictionaries(
            st.sampled_from(["pipeline", "stage", "owner", "x"]), st.sampled_from(["1", "10", "u1", ""])
        ),
        mapping=st.lists(
            st.builds(
                MappingEntry,
                record_kind=st.sampled_from(["contact", "lead", "deal", "x"]),
                field=st.sampled_from([one.key for kind in FIELDS.values() for one in kind] + ["x"]),
                source=st.sampled_from(
                    ["person.code", "referrer.email", "person.fields.size", "campaign.name", "x", ""]
                ),
            ),
            max_size=4,
        ),
        use_suggested=st.booleans(),
        duplicates=st.sampled_from([None, "skip", "x"]),
        qualification=st.one_of(st.none(), st.just(rule()), st.just(QualificationRule(trigger="x"))),
    ),
    st.sampled_from(["referred", "referrer"]),
)
def test_what_passes_the_check_passes_it_again(body, role):
    first = check(MANIFEST, CAMPAIGN, role, body, live_for(role, body), Locality())
    msgspec.json.encode(first)
    if not first.problems:
        again = check(MANIFEST, CAMPAIGN, role, first.body, live_for(role, first.body), Locality())
        assert (again.problems, again.body) == ([], first.body)
