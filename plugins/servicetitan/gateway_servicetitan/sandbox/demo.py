"""A tenant to look at: what `gateway demo` and most tests start with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_servicetitan.sandbox.state import Customer, Named, Tenant

if TYPE_CHECKING:
    from gateway_servicetitan.sandbox.controls import Controls


@dataclass(frozen=True)
class Demo:
    """Handles on the seeded tenant; choices by name.

    Attributes:
        provider: The booking provider tag of the referrals.
        other_provider: Another one, which is not ours.
        customers: People who are customers already.
    """

    tenant: Tenant
    provider: Named
    other_provider: Named
    campaigns: dict[str, Named]
    business_units: dict[str, Named]
    job_types: dict[str, Named]
    call_reasons: dict[str, Named]
    customers: list[Customer]


def demo_tenant(sandbox: Controls, name: str = "Acme Plumbing") -> Demo:
    """Add a tenant with two booking providers, a few lists to choose from, and three customers."""
    tenant = sandbox.add_tenant(name)
    number = tenant.id
    provider = next(iter(tenant.providers.values()))
    other = sandbox.add_provider("Website", tenant_id=number)
    campaigns = [sandbox.add_campaign(word, tenant_id=number) for word in ("Referrals", "Radio")]
    units = [sandbox.add_business_unit(word, "USD", tenant_id=number) for word in ("Plumbing", "Heating")]
    types = [
        sandbox.add_job_type("Service call", tenant_id=number),
        sandbox.add_job_type("Boiler install", [units[1].id], tenant_id=number),
    ]
    reasons = [sandbox.add_call_reason(word, tenant_id=number) for word in ("Out of area", "Price shopping")]
    customers = [
        sandbox.add_customer("Ada Example", "ada@customer.test", "8185550100", tenant_id=number),
        sandbox.add_customer("Ben van der Example", "ben@customer.test", tenant_id=number),
        sandbox.add_customer("Cleo Nomail", tenant_id=number),
    ]
    return Demo(
        tenant,
        provider,
        other,
        {one.name: one for one in campaigns},
        {one.name: one for one in units},
        {one.name: one for one in types},
        {one.name: one for one in reasons},
        customers,
    )
