"""Records as the vendor's JSON: seven digits of a fraction, nulls where the real one has them, money of both kinds.

Source: ``VENDOR.md``, chapters 4 (times) and 5 to 10; tests hold them against the vendor's OpenAPI files.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway_servicetitan.sandbox.state import Booking, BookingContact, Contact, Customer, Invoice, Job, Named

Json = dict[str, Any]
ADDRESS = {
    "street": "1 Main St",
    "unit": None,
    "city": "Glendale",
    "state": "CA",
    "zip": "91203",
    "country": "USA",
    "latitude": 34.1,
    "longitude": -118.2,
}


def moment(value: datetime) -> str:
    """Write a time in UTC with seven digits of a fraction, as the vendor does."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "4Z"


def maybe(value: datetime | None) -> str | None:
    """Write a time, or null."""
    return None if value is None else moment(value)


def booking(one: Booking, *, summary: bool = True) -> Json:
    """Show a booking: without its contacts, and with a start that nobody sent."""
    body = one.body
    shown: Json = {
        "id": one.id,
        "source": body["source"],
        "createdOn": moment(one.created),
        "name": body["name"],
        "address": body.get("address"),
        "customerType": body.get("customerType"),
        "start": body.get("start") or moment(one.created),
        "campaignId": body.get("campaignId"),
        "businessUnitId": body.get("businessUnitId"),
        "isFirstTimeClient": body["isFirstTimeClient"],
        "uploadedImages": body.get("uploadedImages") or [],
        "isSendConfirmationEmail": bool(body.get("isSendConfirmationEmail")),
        "status": one.status,
        "dismissingReasonId": one.dismissing_reason,
        "jobId": one.job,
        "externalId": body["externalId"],
        "priority": body.get("priority"),
        "jobTypeId": body.get("jobTypeId"),
        "bookingProviderId": one.provider,
        "modifiedOn": moment(one.modified),
    }
    return {**shown, "summary": body["summary"]} if summary else shown


def booking_contact(one: BookingContact) -> Json:
    """Show a contact of a booking."""
    return {
        "id": one.id,
        "type": one.type,
        "value": one.value,
        "memo": one.memo or "",
        "modifiedOn": moment(one.modified),
    }


def customer(one: Customer, names: dict[int, Named]) -> Json:
    """Show a customer: it has an address and no e-mail."""
    return {
        "id": one.id,
        "active": one.active,
        "name": one.name,
        "type": one.type,
        "address": one.address or ADDRESS,
        "customFields": [
            {"typeId": key, "name": names[key].name, "value": value}
            for key, value in one.custom.items()
            if key in names
        ],
        "balance": 0.0,
        "taxExempt": False,
        "tagTypeIds": [],
        "doNotMail": one.do_not_mail,
        "doNotService": False,
        "nationalAccount": False,
        "createdOn": moment(one.created),
        "createdById": 21,
        "modifiedOn": moment(one.modified),
        "mergedToId": one.merged_to,
        "paymentTermId": None,
        "creditLimit": None,
        "creditLimitBalance": None,
        "externalData": [],
    }


def contact(one: Contact, *, export: bool, nulls: bool) -> Json:
    """Show a contact of a customer; ``active`` in the feed only.

    Args:
        one: The contact.
        export: It is an item of the feed.
        nulls: An e-mail contact has null where the vendor's document wants phone settings.
    """
    is_phone = one.type in ("Phone", "MobilePhone", "Fax")
    settings: Json | None = {"phoneNumber": one.value if is_phone else "", "doNotText": False}
    shown: Json = {
        "id": one.id,
        "customerId": one.customer,
        "type": one.type,
        "value": one.value,
        "memo": None,
        "phoneSettings": None if nulls and not is_phone else settings,
        "preferences": {
            "jobRemindersEnabled": True,
            "marketingUpdatesEnabled": True,
            "invoiceStatementNotification": True,
        },
        "createdOn": moment(one.created),
        "modifiedOn": moment(one.modified),
    }
    return {**shown, "active": one.active} if export else shown


def contact_method(one: Contact) -> Json:
    """Show a contact in the newer model: its ids are GUIDs."""
    return {
        "id": one.guid,
        "contactId": one.guid,
        "referenceId": None,
        "type": one.type,
        "value": one.value,
        "memo": None,
        "createdOn": moment(one.created),
        "createdBy": 21,
        "modifiedOn": moment(one.modified),
        "modifiedBy": 21,
    }


def relationship(guid: str, related: int, slug: str, created: datetime) -> Json:
    """Show whose a contact is."""
    return {
        "id": guid,
        "relatedEntityId": related,
        "typeName": slug.capitalize(),
        "typeSlug": slug,
        "createdOn": moment(created),
        "createdBy": 21,
    }


def job(one: Job, *, webhook: bool = False) -> Json:
    """Show a job; the webhook's has neither summary nor custom fields."""
    shown: Json = {
        "id": one.id,
        "jobNumber": str(one.id),
        "projectId": None,
        "customerId": one.customer,
        "locationId": one.customer + 1000,
        "jobStatus": one.status,
        "completedOn": maybe(one.completed),
        "businessUnitId": one.business_unit or 0,
        "jobTypeId": one.job_type or 0,
        "priority": one.priority,
        "campaignId": one.campaign or 0,
        "appointmentCount": 1,
        "firstAppointmentId": one.id,
        "lastAppointmentId": one.id,
        "recallForId": None,
        "warrantyId": None,
        "jobGeneratedLeadSource": None,
        "noCharge": one.no_charge,
        "notificationsEnabled": True,
        "createdOn": moment(one.created),
        "createdById": 21,
        "modifiedOn": moment(one.modified),
        "tagTypeIds": [],
        "leadCallId": None,
        "partnerLeadCallId": None,
        "bookingId": one.booking,
        "soldById": None,
        "customerPo": "",
        "invoiceId": one.id,
        "membershipId": None,
        "total": None if one.total is None else float(one.total),
        "createdFromEstimateId": None,
        "estimateIds": [],
    }
    return shown if webhook else {**shown, "summary": "<p>Booked</p>", "customFields": [], "externalData": []}


def invoice(one: Invoice) -> Json:
    """Show an invoice: its amounts are strings."""
    return {
        "id": one.id,
        "syncStatus": "Pending",
        "referenceNumber": str(one.id),
        "invoiceDate": moment(one.created),
        "dueDate": None,
        "subTotal": _money(one.sub_total),
        "salesTax": _money(one.tax),
        "total": _money(one.total),
        "balance": _money(one.total),
        "discountTotal": "0.00",
        "customer": {"id": 1, "name": "Customer"},
        "job": {"id": one.job, "number": str(one.job), "type": "Install"},
        "adjustmentToId": one.adjustment_to,
        "createdOn": moment(one.created),
        "modifiedOn": moment(one.modified),
        "sentStatus": "NotSent",
        "reviewStatus": "NeedsReview",
        "active": one.active,
        "items": [],
        "customFields": [],
        "invoiceConfiguration": "JobInvoice",
    }


def _money(value: Decimal) -> str:
    return format(value.quantize(Decimal("0.01")), "f")


def named(one: Named, kind: str) -> Json:
    """Show something to choose from, with the keys of its kind."""
    shown: Json = {"id": one.id, "name": one.name, "createdOn": moment(one.created), "modifiedOn": moment(one.modified)}
    match kind:
        case "job_types":
            shown |= {
                "businessUnitIds": one.business_units,
                "skills": [],
                "tagTypeIds": [],
                "priority": "Normal",
                "duration": 3600,
                "soldThreshold": None,
                "class": "Service",
                "summary": "",
                "noCharge": False,
                "invoiceSignaturesRequired": False,
                "externalData": [],
                "isSmartDispatched": False,
            }
        case "business_units":
            shown |= {"officialName": None, "currency": one.currency}
        case "call_reasons":
            shown |= {"isLead": True}
        case "customer_fields" | "job_fields":
            shown |= {"dataType": one.data_type, "dataTypeOptions": one.options}
            return shown
        case "providers":
            del shown["name"]
            shown |= {"tagName": one.name, "description": one.name, "type": "V2Api"}
    return {**shown, "active": one.active}
