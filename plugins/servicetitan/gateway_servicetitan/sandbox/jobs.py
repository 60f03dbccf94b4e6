"""Jobs, invoices, and the lists to choose from.

Source: ``VENDOR.md``, chapters 8, 9 and 10.
"""

from collections.abc import Callable
from typing import Any

from gateway_servicetitan.sandbox import shapes
from gateway_servicetitan.sandbox.calls import Call, Operations, found, listed, read_list
from gateway_servicetitan.sandbox.checks import PAGING, TIMES, activity, ids, number, read_query, when, words
from gateway_servicetitan.sandbox.errors import invalid
from gateway_servicetitan.sandbox.state import Named, Tenant

Json = dict[str, Any]
operations = Operations()
STATUSES = ("Scheduled", "Dispatched", "InProgress", "Hold", "Completed", "Canceled")


@operations.add("GET", "jpm", "jobs", "tn.jpm.jobs:r")
def list_jobs(call: Call) -> Json:
    """List jobs."""
    asked = read_list(
        call,
        {
            "ids": ids,
            "bookingId": number,
            "customerId": number,
            "campaignId": number,
            "jobStatus": words,
            "completedOnOrAfter": when,
            "completedBefore": when,
        },
    )
    if asked.get("jobStatus", "Hold") not in STATUSES:
        raise invalid(jobStatus=f"The value '{asked['jobStatus']}' is not valid.")
    rows = [
        one
        for one in call.tenant.jobs.values()
        if ("ids" not in asked or one.id in asked["ids"])
        and asked.get("bookingId", one.booking) == one.booking
        and asked.get("customerId", one.customer) == one.customer
        and asked.get("campaignId", one.campaign) == one.campaign
        and asked.get("jobStatus", one.status) == one.status
    ]
    return listed(call, asked, rows, shapes.job)


@operations.add("GET", "jpm", "jobs/custom-fields", "tn.jpm.jobs:r")
def job_fields(call: Call) -> Json:
    """List the custom fields of jobs."""
    return listed(
        call, read_list(call, {}), list(call.tenant.job_fields.values()), lambda one: shapes.named(one, "job_fields")
    )


@operations.add("GET", "jpm", "jobs/{id}", "tn.jpm.jobs:r")
def get_job(call: Call) -> Json:
    """Show one job."""
    return shapes.job(found(call.tenant.jobs, call.number("id")))


@operations.add("GET", "accounting", "invoices", "tn.acc.invoices:r")
def list_invoices(call: Call) -> Json:
    """List invoices; there is no call for a single one."""
    asked = read_list(
        call, {"ids": ids, "jobId": number, "customerId": number, "adjustmentToId": number, "activeState": words}
    )
    rows = [
        one
        for one in call.tenant.invoices.values()
        if ("ids" not in asked or one.id in asked["ids"])
        and asked.get("jobId", one.job) == one.job
        and asked.get("adjustmentToId", one.adjustment_to) == one.adjustment_to
    ]
    return listed(call, asked, rows, shapes.invoice)


def _choices(kind: str, module: str, path: str, scope: str, rows: Callable[[Tenant], dict[int, Named]]) -> None:
    """Register a list to choose from: active ones unless asked for all, by name where it contains a text."""

    @operations.add("GET", module, path, scope)
    def choices(call: Call) -> Json:
        more = {"ids": ids, "active": activity, "name": words}
        if kind == "job_types":  # sorts by other words than all others
            asked = read_query(call.query, {**PAGING, **TIMES, **more, "orderBy": words, "orderByDirection": words})
        elif kind == "business_units":
            asked = read_query(call.query, {**PAGING, **TIMES, **more})
        else:
            asked = read_list(call, more)
        wanted = asked.get("active", "true")
        chosen = [
            one
            for one in rows(call.tenant).values()
            if ("ids" not in asked or one.id in asked["ids"])
            and (wanted == "any" or one.active == (wanted == "true"))
            and asked.get("name", "").casefold() in one.name.casefold()
        ]
        return listed(call, asked, chosen, lambda one: shapes.named(one, kind))


_choices("job_types", "jpm", "job-types", "tn.jpm.jobtypes:r", lambda tenant: tenant.job_types)
_choices("business_units", "settings", "business-units", "tn.stt.businessunits:r", lambda tenant: tenant.business_units)
_choices("campaigns", "marketing", "campaigns", "tn.mrk.campaigns:r", lambda tenant: tenant.campaigns)
_choices("call_reasons", "jbce", "call-reasons", "tn.jbce.callreasons:r", lambda tenant: tenant.call_reasons)
_choices("providers", "crm", "booking-provider-tags", "tn.crm.bookingprovidertags:r", lambda tenant: tenant.providers)
