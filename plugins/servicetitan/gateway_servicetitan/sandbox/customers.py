"""Customers, their contacts, the export feeds of both, and the search of the newer contact model.

Source: ``VENDOR.md``, chapters 4 (export feeds), 5 and 6.
"""

from datetime import timedelta
from typing import Any

from gateway_servicetitan.sandbox import shapes
from gateway_servicetitan.sandbox.calls import Call, Operations, exported, found, listed, read_list
from gateway_servicetitan.sandbox.checks import PAGING, activity, ids, read_query, refused, words
from gateway_servicetitan.sandbox.errors import forbidden, not_found
from gateway_servicetitan.sandbox.state import Contact, Customer

Json = dict[str, Any]
operations = Operations()
READ, SEARCH = "tn.crm.customers:r", "tn.crm.contacts:r"
TEXTS = dict.fromkeys(("name", "street", "unit", "city", "state", "zip", "country", "phone"), words)


@operations.add("GET", "crm", "customers", READ)
def list_customers(call: Call) -> Json:
    """List customers, active ones unless asked for all; there is no filter by e-mail."""
    asked = read_list(call, {"ids": ids, "active": activity, **TEXTS})
    wanted = asked.get("active", "true")
    rows = [
        one
        for one in call.tenant.customers.values()
        if ("ids" not in asked or one.id in asked["ids"])
        and (wanted == "any" or one.active == (wanted == "true"))
        and asked.get("name", "").casefold() in one.name.casefold()
        and ("phone" not in asked or any(asked["phone"] in it.value for it in call.tenant.contacts_of(one.id)))
    ]
    return listed(call, asked, rows, lambda one: _customer(call, one))


@operations.add("GET", "crm", "customers/contacts", READ)
def list_contacts(call: Call) -> Json:
    """List living contacts of some customers, or those that changed; one of the filters must be given."""
    asked = read_list(call, {"customerIds": ids})
    asked.pop("sort", None)
    if not asked.keys() & {"customerIds", "modifiedBefore", "modifiedOnOrAfter"}:
        raise refused({"customerIds": "At least one of customerIds, modifiedBefore, modifiedOnOrAfter is required."})
    rows = [
        one
        for one in call.tenant.contacts.values()
        if one.active and ("customerIds" not in asked or one.customer in asked["customerIds"])
    ]
    return listed(call, asked, rows, lambda one: _contact(call, one, export=False))


@operations.add("GET", "crm", "customers/custom-fields", READ)
def custom_fields(call: Call) -> Json:
    """List the custom fields of customers."""
    asked = read_list(call, {})
    return listed(
        call, asked, list(call.tenant.customer_fields.values()), lambda one: shapes.named(one, "customer_fields")
    )


@operations.add("GET", "crm", "customers/{id}", READ)
def get_customer(call: Call) -> Json:
    """Show one customer."""
    return _customer(call, found(call.tenant.customers, call.number("id")))


@operations.add("GET", "crm", "export/customers", READ)
def export_customers(call: Call) -> Json:
    """Export customers, inactive ones too; a change of a contact is no change of the customer."""
    return exported(call, list(call.tenant.customers.values()), lambda one: _customer(call, one))


@operations.add("GET", "crm", "export/customers/contacts", READ)
def export_contacts(call: Call) -> Json:
    """Export contacts, deleted ones too."""
    return exported(call, list(call.tenant.contacts.values()), lambda one: _contact(call, one, export=True))


@operations.add("GET", "crm", "contacts/contact-methods", SEARCH)
def contact_methods(call: Call) -> Json:
    """Search contacts; a part of the value matches too, and the index lags."""
    _open(call)
    asked = read_list(call, {"type": words, "value": words, "contactId": words, "referenceId": words})
    latest = call.sandbox.now() - timedelta(seconds=call.sandbox.options.search_lag)
    rows = [
        one
        for one in call.tenant.contacts.values()
        if one.active
        and one.modified <= latest
        and asked.get("type", one.type) == one.type
        and asked.get("value", "").casefold() in one.value.casefold()
        and asked.get("contactId", one.guid) == one.guid
    ]
    return listed(call, asked, rows, shapes.contact_method)


@operations.add("GET", "crm", "contacts/{contact}/relationships", SEARCH)
def relationships(call: Call) -> Json:
    """Say whose a contact is."""
    _open(call)
    asked = read_query(
        call.query, {**PAGING, "typeSlug": words, "typeName": words, "relatedEntityId": words, "sort": words}
    )
    one = next((it for it in call.tenant.contacts.values() if it.guid == call.path["contact"]), None)
    if one is None:
        raise not_found()
    rows = [shapes.relationship(one.guid, one.customer, "customer", one.created)]
    chosen = rows if asked.get("typeSlug", "customer") == "customer" else []
    return {
        "page": asked.get("page", 1),
        "pageSize": asked.get("pageSize", 50),
        "hasMore": False,
        "totalCount": None,
        "data": chosen if asked.get("page", 1) == 1 else [],
    }


def _open(call: Call) -> None:
    if not call.tenant.contact_search:
        raise forbidden("The contacts feature is not available for this tenant.")


def _customer(call: Call, one: Customer) -> Json:
    return shapes.customer(one, call.tenant.customer_fields)


def _contact(call: Call, one: Contact, *, export: bool) -> Json:
    return shapes.contact(one, export=export, nulls=call.sandbox.options.nulls)
