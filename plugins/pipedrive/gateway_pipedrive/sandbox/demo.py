"""A company to look at: what `gateway demo` and most tests start with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_pipedrive.sandbox.state import Company, FieldDefinition, Person, Pipeline, SavedFilter, Stage, User

if TYPE_CHECKING:
    from gateway_pipedrive.sandbox.controls import Controls

REFERRAL_FIELDS = (
    ("Referral Code", "varchar"),
    ("Referral Link", "varchar"),
    ("Referral Count", "double"),
    ("Converted Referral Count", "double"),
    ("Campaign Name", "varchar"),
    ("Referrer First Name", "varchar"),
    ("Referrer Email Address", "varchar"),
)
STAGES = ("Lead In", "Contacted", "Demo", "Negotiation", "Agreed")
PARTNER_STAGES = ("New", "Qualified", "Signed")


@dataclass(frozen=True)
class Demo:
    """Handles on the seeded company; ``stages`` by name of the default pipeline, fields by name.

    Attributes:
        person_fields: Custom fields of persons, by name.
        deal_fields: Custom fields of deals and leads, by the same names but with other codes.
        filter: A saved filter of persons, "Customers", which leaves one of them out.
    """

    company: Company
    admin: User
    seller: User
    pipeline: Pipeline
    partner_pipeline: Pipeline
    stages: dict[str, Stage]
    partner_stages: dict[str, Stage]
    person_fields: dict[str, FieldDefinition]
    deal_fields: dict[str, FieldDefinition]
    persons: list[Person]
    filter: SavedFilter


def demo_company(sandbox: Controls, name: str = "Acme", domain: str | None = None) -> Demo:
    """Add a company with two users, two pipelines, referral fields, a few persons and a filter."""
    company = sandbox.add_company(name, domain)
    admin = next(iter(company.users.values()))
    seller = sandbox.add_user("Sam Seller", is_admin=False, company_id=company.id)
    pipeline = sandbox.add_pipeline("Sales", list(STAGES), company_id=company.id)
    partner_pipeline = sandbox.add_pipeline("Partners", list(PARTNER_STAGES), company_id=company.id)
    person_fields: dict[str, FieldDefinition] = {}
    deal_fields: dict[str, FieldDefinition] = {}
    for label, kind in REFERRAL_FIELDS:
        person_fields[label] = sandbox.add_field("person", label, kind, company_id=company.id)
        deal_fields[label] = sandbox.add_field("deal", label, kind, company_id=company.id)
    persons = [
        sandbox.add_person("Ada Example", "ada@customer.test", company_id=company.id, label_ids=[1]),
        sandbox.add_person("Ben Example", "ben@customer.test", company_id=company.id, label_ids=[1]),
        sandbox.add_person("Cleo Nomail", company_id=company.id),
    ]
    saved = sandbox.add_filter("Customers", "people", [["emails", "!=", []]], company_id=company.id)
    return Demo(
        company,
        admin,
        seller,
        pipeline,
        partner_pipeline,
        {one.name: one for one in company.stages_of(pipeline.id)},
        {one.name: one for one in company.stages_of(partner_pipeline.id)},
        person_fields,
        deal_fields,
        persons,
        saved,
    )
