"""What lists of persons and of deals have in common in v2.

Source: ``VENDOR.md``, chapters 5, 7.4 and 7.5. A ``filter_id`` switches the other narrowing parameters off
without a word; ``updated_since`` is applied beside it (unconfirmed).
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from gateway_pipedrive.sandbox import shapes, values
from gateway_pipedrive.sandbox.account import find_filter, passes
from gateway_pipedrive.sandbox.calls import Answer, Call, good, page_v2
from gateway_pipedrive.sandbox.checks import Query
from gateway_pipedrive.sandbox.errors import not_found, schema_failed
from gateway_pipedrive.sandbox.events import Actor
from gateway_pipedrive.sandbox.state import Deal, Kind, Person, visible

Json = dict[str, Any]
Row = TypeVar("Row", Person, Deal)

SINGLE = frozenset({"include_fields", "custom_fields", "include_option_labels", "include_labels"})
LIST = SINGLE | frozenset(
    [
        "filter_id",
        "ids",
        "owner_id",
        "org_id",
        "updated_since",
        "updated_until",
        "sort_by",
        "sort_direction",
        "limit",
        "cursor",
    ]
)


def actor(call: Call) -> Actor:
    """Name who changes something in this call."""
    return Actor(call.user, call.source)


def find(call: Call, rows: dict[int, Row], record_id: int, what: str) -> Row:
    """Find a record that lives and that this user sees."""
    found = rows.get(record_id)
    if found is None or found.is_deleted or not visible(call.user, found):
        raise not_found(what)
    return found


def answer_list(call: Call, query: Query, kind: Kind, rows: Iterable[Row], narrow: Callable[[Row], bool]) -> Answer:
    """Filter, sort, cut and render a list.

    Args:
        call: The call.
        query: Its checked query.
        kind: ``person`` or ``deal``.
        rows: All candidates, deleted and archived ones already sorted out by the caller.
        narrow: The parameters that a ``filter_id`` switches off.
    """
    saved_id, ids, owner = query.integer("filter_id"), query.integers("ids", most=100), query.integer("owner_id")
    org = query.integer("org_id")
    if saved_id is not None:
        saved = find_filter(call, saved_id)
        chosen = [row for row in rows if passes(saved, kind, row)]
    else:
        chosen = [
            row
            for row in rows
            if (not ids or row.id in ids)
            and owner in {None, row.owner_id}
            and org in {None, row.org_id}
            and narrow(row)
        ]
    since, until = query.time("updated_since"), query.time("updated_until")
    chosen = [row for row in chosen if visible(call.user, row) and _within(row.update_time, since, until)]
    by = query.choice("sort_by", "id", "id", "update_time", "add_time")
    descending = query.choice("sort_direction", "asc", "asc", "desc") == "desc"

    def key(row: Any) -> Any:
        return row.id if by == "id" else getattr(row, by).isoformat()

    chosen.sort(key=lambda row: (key(row), row.id), reverse=descending)
    page, more = page_v2(query, chosen, key)
    return good([render(call, query, kind, row) for row in page], **more)


def render(call: Call, query: Query, kind: Kind, row: Person | Deal) -> Json:
    """Render one record with what the query asks for beside the standard keys."""
    null = call.sandbox.options.unset_as_null
    if isinstance(row, Person):
        data = shapes.person_v2(call.company, row, unset_as_null=null)
        optional = shapes.PERSON_OPTIONAL
    else:
        data = shapes.deal_v2(call.company, row, unset_as_null=null)
        optional = shapes.DEAL_OPTIONAL
    shapes.with_optional(data, row, query.words("include_fields", optional))
    keys = query.words("custom_fields", most=15)
    if keys:
        data["custom_fields"] = {code: value for code, value in data["custom_fields"].items() if code in keys}
    if query.flag("include_option_labels"):
        data["custom_fields"] = values.with_labels(call.company, kind, data["custom_fields"])
    if query.flag("include_labels"):
        definition = call.company.field_by_code(kind, "label_ids")
        names = {option.id: option.label for option in definition.options} if definition else {}
        data["labels"] = [{"id": one, "label": names.get(one, "")} for one in row.label_ids]
    return data


def check_links(call: Call, body: Json, *, kind: Kind) -> None:
    """Refuse owners, persons and organizations that are not there, labels that are no options, and odd visibility."""
    company = call.company
    held: dict[str, Any] = {"owner_id": company.users, "org_id": company.organizations, "person_id": company.persons}
    problems = [
        f"{key}: {body[key]} does not exist"
        for key, rows in held.items()
        if body.get(key) is not None and (body[key] not in rows or getattr(rows[body[key]], "is_deleted", False))
    ]
    definition = company.field_by_code(kind, "label_ids")
    known = {option.id for option in definition.options} if definition else set()
    problems += [f"label_ids: {one} does not exist" for one in body.get("label_ids") or [] if one not in known]
    if body.get("visible_to", 3) not in {1, 3, 5, 7}:
        problems.append("visible_to: must be one of 1, 3, 5, 7")
    if problems:
        raise schema_failed(*problems)


def _within(moment: datetime, since: datetime | None, until: datetime | None) -> bool:
    # The record's time is compared as it is written, in whole seconds.
    shown = moment.replace(microsecond=0)
    return (since is None or shown >= since) and (until is None or shown < until)
