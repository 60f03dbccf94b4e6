"""Records and times as the vendor writes them, in each of its three dialects.

Source: ``VENDOR.md``, chapters 3 (times), 6.2 (custom fields), 7 (API objects) and 8.2 (webhook objects).
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from gateway_pipedrive.sandbox import values
from gateway_pipedrive.sandbox.state import Company, Deal, Kind, Lead, Note, Person, Record, User

Json = dict[str, Any]

PERSON_OPTIONAL = frozenset(
    [
        "next_activity_id",
        "last_activity_id",
        "open_deals_count",
        "related_open_deals_count",
        "closed_deals_count",
        "related_closed_deals_count",
        "participant_open_deals_count",
        "participant_closed_deals_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "files_count",
        "notes_count",
        "followers_count",
        "won_deals_count",
        "related_won_deals_count",
        "lost_deals_count",
        "related_lost_deals_count",
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "marketing_status",
        "doi_status",
        "smart_bcc_email",
    ]
)
DEAL_OPTIONAL = frozenset(
    [
        "next_activity_id",
        "last_activity_id",
        "first_won_time",
        "products_count",
        "files_count",
        "notes_count",
        "followers_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "participants_count",
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "smart_bcc_email",
        "source_lead_id",
    ]
)


def rfc3339(moment: datetime | None) -> str | None:
    """Write a time as v2 does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def iso_millis(moment: datetime | None) -> str | None:
    """Write a time as v1 leads and webhooks' ``meta`` do: UTC with milliseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if moment else None


def spaced(moment: datetime | None) -> str | None:
    """Write a time as the rest of v1 does: no zone, meaning UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else None


def person_v2(company: Company, person: Person, *, unset_as_null: bool) -> Json:
    """Render a person for v2 (chapter 7.4)."""
    return {
        "id": person.id,
        "name": person.name,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "owner_id": person.owner_id,
        "org_id": person.org_id,
        "add_time": rfc3339(person.add_time),
        "update_time": rfc3339(person.update_time),
        "emails": person.emails,
        "phones": person.phones,
        "is_deleted": person.is_deleted,
        "visible_to": person.visible_to,
        "label_ids": person.label_ids,
        "picture_id": None,
        "custom_fields": values.v2_fields(company, "person", person.custom_fields, unset_as_null=unset_as_null),
    }


def person_v1(company: Company, person: Person, merged: int) -> Json:
    """Render a person as the merge answers it (chapter 7.9)."""
    owner = company.users[person.owner_id]
    org = company.organizations.get(person.org_id or 0)
    deals = [deal for deal in company.deals.values() if deal.person_id == person.id and not deal.is_deleted]
    open_count = sum(deal.status == "open" for deal in deals)
    won_count = sum(deal.status == "won" for deal in deals)
    counts = dict.fromkeys(
        [
            "participant_open_deals_count",
            "participant_closed_deals_count",
            "email_messages_count",
            "activities_count",
            "done_activities_count",
            "undone_activities_count",
            "files_count",
            "followers_count",
            "related_open_deals_count",
            "related_closed_deals_count",
            "related_won_deals_count",
            "related_lost_deals_count",
        ],
        0,
    )
    moments = dict.fromkeys(
        [
            "next_activity_date",
            "next_activity_time",
            "next_activity_id",
            "last_activity_id",
            "last_activity_date",
            "last_incoming_mail_time",
            "last_outgoing_mail_time",
        ]
    )
    return {
        "id": person.id,
        "company_id": company.id,
        "owner_id": person.owner_id,
        "org_id": person.org_id,
        "name": person.name,
        "first_name": person.first_name,
        "last_name": person.last_name,
        **counts,
        **moments,
        "open_deals_count": open_count,
        "closed_deals_count": len(deals) - open_count,
        "won_deals_count": won_count,
        "lost_deals_count": len(deals) - open_count - won_count,
        "notes_count": sum(note.person_id == person.id for note in company.notes.values()),
        "active_flag": not person.is_deleted,
        "phone": person.phones,
        "email": person.emails,
        "first_char": person.name[:1].lower(),
        "update_time": spaced(person.update_time),
        "add_time": spaced(person.add_time),
        "visible_to": str(person.visible_to),
        "picture_id": None,
        "label": person.label_ids[0] if person.label_ids else None,
        "label_ids": person.label_ids,
        "org_name": org.name if org else None,
        "owner_name": owner.name,
        "cc_email": f"{company.domain}@pipedrivemail.test",
        "merge_what_id": merged,
    }


def deal_v2(company: Company, deal: Deal, *, unset_as_null: bool) -> Json:
    """Render a deal for v2 (chapter 7.5), without what only ``include_fields`` brings."""
    return {
        "id": deal.id,
        "title": deal.title,
        "creator_user_id": deal.creator_user_id,
        "owner_id": deal.owner_id,
        "value": deal.value,
        "currency": deal.currency,
        "person_id": deal.person_id,
        "org_id": deal.org_id,
        "stage_id": deal.stage_id,
        "pipeline_id": deal.pipeline_id,
        "archive_time": rfc3339(deal.archive_time),
        "add_time": rfc3339(deal.add_time),
        "update_time": rfc3339(deal.update_time),
        "stage_change_time": rfc3339(deal.stage_change_time),
        "status": deal.status,
        "is_archived": deal.is_archived,
        "is_deleted": deal.is_deleted,
        "probability": deal.probability,
        "lost_reason": deal.lost_reason,
        "visible_to": deal.visible_to,
        "close_time": rfc3339(deal.close_time),
        "won_time": rfc3339(deal.won_time),
        "lost_time": rfc3339(deal.lost_time),
        "local_won_date": _date(deal.won_time),
        "local_lost_date": _date(deal.lost_time),
        "local_close_date": _date(deal.close_time),
        "expected_close_date": deal.expected_close_date,
        "label_ids": deal.label_ids,
        "origin": deal.origin,
        "origin_id": deal.origin_id,
        "channel": deal.channel,
        "channel_id": deal.channel_id,
        "acv": deal.acv,
        "arr": deal.arr,
        "mrr": deal.mrr,
        "custom_fields": values.v2_fields(company, "deal", deal.custom_fields, unset_as_null=unset_as_null),
    }


def lead_v1(company: Company, lead: Lead) -> Json:
    """Render a lead for v1: custom fields flat at the root, absent when empty (chapter 7.6)."""
    return {
        "id": lead.id,
        "title": lead.title,
        "owner_id": lead.owner_id,
        "creator_id": lead.creator_id,
        "label_ids": lead.label_ids,
        "person_id": lead.person_id,
        "organization_id": lead.organization_id,
        "source_name": lead.source_name,
        "origin": lead.origin,
        "origin_id": lead.origin_id,
        "channel": lead.channel,
        "channel_id": lead.channel_id,
        "source_deal_id": lead.source_deal_id,
        "is_archived": lead.is_archived,
        "was_seen": lead.was_seen,
        "value": lead.value,
        "expected_close_date": lead.expected_close_date,
        "next_activity_id": None,
        "add_time": iso_millis(lead.add_time),
        "update_time": iso_millis(lead.update_time),
        "visible_to": str(lead.visible_to),
        "cc_email": f"{company.domain}+lead{lead.id[:8]}@pipedrivemail.test",
        **values.v1_fields(company, lead.custom_fields),
    }


def note_v1(company: Company, note: Note, caller: User) -> Json:
    """Render a note (chapter 7.7)."""
    author = company.users[note.user_id]
    person = company.persons.get(note.person_id or 0)
    deal = company.deals.get(note.deal_id or 0)
    org = company.organizations.get(note.org_id or 0)
    return {
        "id": note.id,
        "active_flag": True,
        "add_time": spaced(note.add_time),
        "content": note.content,
        "deal": {"title": deal.title} if deal else None,
        "lead_id": note.lead_id,
        "deal_id": note.deal_id,
        "last_update_user_id": None,
        "org_id": note.org_id,
        "organization": {"name": org.name} if org else None,
        "person": {"name": person.name} if person else None,
        "person_id": note.person_id,
        "project_id": None,
        "project": None,
        **{
            f"pinned_to_{what}_flag": note.pinned.get(what, False)
            for what in ("lead", "deal", "organization", "person", "project")
        },
        "update_time": spaced(note.update_time),
        "user": {"email": author.email, "icon_url": None, "is_you": author.id == caller.id, "name": author.name},
        "user_id": note.user_id,
    }


def webhook_data(company: Company, kind: Kind, record: Record, *, source_lead: bool = False) -> Json:
    """Render a record as a webhook carries it: typed custom fields, other names and types (chapter 8.2, 8.3)."""
    if isinstance(record, Person):
        return _webhook_person(company, record)
    if isinstance(record, Deal):
        return _webhook_deal(company, record, source_lead=source_lead)
    lead = lead_v1(company, record)
    keys = (
        "id title person_id organization_id owner_id creator_id value label_ids origin origin_id source_name channel "
        "channel_id expected_close_date next_activity_id is_archived was_seen add_time update_time"
    )
    data = {key: lead[key] for key in keys.split()}
    data["custom_fields"] = values.webhook_fields(company, kind, record.custom_fields)
    return data


def with_optional(data: Json, record: Person | Deal, wanted: Collection[str]) -> Json:
    """Add what ``include_fields`` asks for: counters are zero here, ``source_lead_id`` is real (chapter 7.5)."""
    for key in wanted:
        if key.endswith("_count"):
            data[key] = 0
        elif key == "smart_bcc_email":
            data[key] = f"record{record.id}@pipedrivemail.test"
        elif key == "first_won_time" and isinstance(record, Deal):
            data[key] = rfc3339(record.first_won_time)
        else:
            data[key] = getattr(record, key, None)
    return data


def _webhook_person(company: Company, person: Person) -> Json:
    return {
        "id": person.id,
        "name": person.name,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "emails": person.emails,
        "phones": person.phones,
        "org_id": person.org_id,
        "owner_id": person.owner_id,
        "label": person.label_ids[0] if person.label_ids else None,
        "custom_fields": values.webhook_fields(company, "person", person.custom_fields),
        "add_time": rfc3339(person.add_time),
        "update_time": rfc3339(person.update_time),
        "visible_to": str(person.visible_to),
    }


def _webhook_deal(company: Company, deal: Deal, *, source_lead: bool) -> Json:
    api = deal_v2(company, deal, unset_as_null=False)
    keys = (
        "id title status pipeline_id stage_id value currency person_id org_id owner_id creator_user_id label_ids "
        "origin origin_id channel channel_id probability expected_close_date add_time update_time stage_change_time "
        "close_time won_time lost_time lost_reason is_archived archive_time"
    )
    data = {key: api[key] for key in keys.split()}
    data["first_won_time"] = rfc3339(deal.first_won_time)
    data["visible_to"] = str(deal.visible_to)
    data["custom_fields"] = values.webhook_fields(company, "deal", deal.custom_fields)
    if source_lead:
        data["source_lead_id"] = deal.source_lead_id
    return data


def _date(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%d") if moment else None
