"""Users, currencies, pipelines, stages and saved filters.

Source: ``VENDOR.md``, chapters 7.1 to 7.3.
"""

from collections.abc import Callable
from typing import Any

from gateway_pipedrive.sandbox.calls import Answer, Call, Operations, good, page_v2
from gateway_pipedrive.sandbox.checks import Query
from gateway_pipedrive.sandbox.errors import VendorError, not_found
from gateway_pipedrive.sandbox.shapes import rfc3339, spaced
from gateway_pipedrive.sandbox.state import Condition, Kind, Pipeline, Record, SavedFilter, Stage, User

Json = dict[str, Any]
operations = Operations()

_DEALS = "deals:read deals:full admin"
_FILTERS = "deals:read deals:full activities:read activities:full contacts:read contacts:full"
_CURRENCIES = (("EUR", "Euro", "€", 2), ("USD", "US Dollar", "$", 2), ("GBP", "British Pound", "£", 2))
_MORE_CURRENCIES = (
    ("JPY", "Japanese Yen", "¥", 0),
    ("CHF", "Swiss Franc", "CHF", 2),
    ("KWD", "Kuwaiti Dinar", "KD", 3),
)


@operations.add("GET", 1, "/users/me", cost=2, scopes="base")
def me(call: Call) -> Answer:
    """Tell who the token belongs to, and in which company."""
    company = call.company
    more = {
        "company_id": company.id,
        "company_name": company.name,
        "company_domain": company.domain,
        "company_country": company.country,
        "company_industry": "IT Services",
        "language": {"language_code": "en", "country_code": "US"},
    }
    return good(_user(call, call.user) | more)


@operations.add("GET", 1, "/users", cost=20, scopes="users:read")
def users(call: Call) -> Answer:
    """List all users; not paged."""
    return good([_user(call, user) for user in call.company.users.values()])


@operations.add("GET", 1, "/users/{id}", cost=2, scopes="users:read")
def user(call: Call) -> Answer:
    """Return one user."""
    found = call.company.users.get(call.number("id"))
    if found is None:
        raise VendorError(404, {"success": False, "error": "User not found or not accessible."})
    return good(_user(call, found))


@operations.add("GET", 1, "/currencies", cost=20, scopes="base")
def currencies(call: Call) -> Answer:
    """List a few currencies, some with other than two digits; not paged."""
    rows = [
        {
            "id": number,
            "code": code,
            "name": name,
            "decimal_points": digits,
            "symbol": symbol,
            "active_flag": True,
            "is_custom_flag": False,
        }
        for number, (code, name, symbol, digits) in enumerate(_CURRENCIES + _MORE_CURRENCIES, start=1)
    ]
    term = call.query.get("term", "").casefold()
    return good([row for row in rows if term in str(row["name"]).casefold() or term == str(row["code"]).casefold()])


@operations.add("GET", 2, "/pipelines", cost=5, scopes=_DEALS)
def pipelines(call: Call) -> Answer:
    """List pipelines."""
    query = Query(call.query, frozenset({"sort_by", "sort_direction", "limit", "cursor"}))
    rows, key = _sorted(query, list(call.company.pipelines.values()), "id", "update_time", "add_time")
    page, more = page_v2(query, rows, key)
    return good([_pipeline(one) for one in page], **more)


@operations.add("GET", 2, "/pipelines/{id}", cost=1, scopes=_DEALS)
def pipeline(call: Call) -> Answer:
    """Return one pipeline."""
    found = call.company.pipelines.get(call.number("id"))
    if found is None or found.is_deleted:
        raise not_found("Pipeline")
    return good(_pipeline(found))


@operations.add("GET", 2, "/stages", cost=5, scopes=_DEALS)
def stages(call: Call) -> Answer:
    """List stages, of one pipeline or of all."""
    query = Query(call.query, frozenset({"pipeline_id", "sort_by", "sort_direction", "limit", "cursor"}))
    wanted = query.integer("pipeline_id")
    held = [one for one in call.company.stages.values() if wanted in {None, one.pipeline_id}]
    rows, key = _sorted(query, held, "id", "update_time", "add_time", "order_nr")
    page, more = page_v2(query, rows, key)
    return good([_stage(one) for one in page], **more)


@operations.add("GET", 2, "/stages/{id}", cost=1, scopes=_DEALS)
def stage(call: Call) -> Answer:
    """Return one stage."""
    found = call.company.stages.get(call.number("id"))
    if found is None or found.is_deleted:
        raise not_found("Stage")
    return good(_stage(found))


@operations.add("GET", 1, "/filters", cost=20, scopes=_FILTERS)
def filters(call: Call) -> Answer:
    """List saved filters, of one type or of all; not paged."""
    wanted = call.query.get("type")
    held = [one for one in call.company.filters.values() if not one.is_deleted and wanted in {None, one.type}]
    return good([_filter(one) for one in held])


@operations.add("GET", 1, "/filters/{id}", cost=2, scopes=_FILTERS)
def saved_filter(call: Call) -> Answer:
    """Return one filter with its conditions."""
    found = find_filter(call, call.number("id"))
    conditions = [
        {
            "object": "person" if found.type == "people" else "deal",
            "field_id": str(number),
            "operator": condition.operator,
            "value": None if condition.value is None else str(condition.value),
            "extra_value": None,
            "json_value_flag": False,
            "field_code": condition.field,
        }
        for number, condition in enumerate(found.conditions, start=1)
    ]
    groups = [{"glue": "and", "conditions": conditions}, {"glue": "or", "conditions": []}]
    return good(_filter(found) | {"conditions": {"glue": "and", "conditions": groups}})


def find_filter(call: Call, filter_id: int) -> SavedFilter:
    """Find a living filter. The vendor's error for a dead one is unconfirmed; ours is a 404."""
    found = call.company.filters.get(filter_id)
    if found is None or found.is_deleted:
        raise not_found("Filter")
    return found


def passes(saved: SavedFilter, kind: Kind, record: Record) -> bool:
    """Tell whether a record meets all conditions of a filter of its kind."""
    types = {"person": "people", "deal": "deals", "lead": "leads"}
    return saved.type == types[kind] and all(_holds(condition, record) for condition in saved.conditions)


def _holds(condition: Condition, record: Record) -> bool:
    held = getattr(record, condition.field, record.custom_fields.get(condition.field))
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: bool(held == condition.value),
        "!=": lambda: bool(held != condition.value),
        ">": lambda: held is not None and bool(held > condition.value),
        "<": lambda: held is not None and bool(held < condition.value),
        "contains": lambda: str(condition.value).casefold() in str(held or "").casefold(),
        "IS NULL": lambda: held is None,
        "IS NOT NULL": lambda: held is not None,
    }
    return tests[condition.operator]()


def _sorted(query: Query, rows: list[Any], *allowed: str) -> tuple[list[Any], Callable[[Any], Any]]:
    by = query.choice("sort_by", "id", *allowed)
    descending = query.choice("sort_direction", "asc", "asc", "desc") == "desc"

    def key(row: Any) -> Any:
        value = getattr(row, by)
        return value if isinstance(value, int) else value.isoformat()

    return sorted(rows, key=lambda row: (key(row), row.id), reverse=descending), key


def _user(call: Call, user: User) -> Json:
    return {
        "id": user.id,
        "name": user.name,
        "default_currency": call.company.default_currency,
        "locale": "en_US",
        "lang": 1,
        "email": user.email,
        "phone": None,
        "activated": True,
        "last_login": spaced(user.add_time),
        "created": spaced(user.add_time),
        "modified": spaced(user.add_time),
        "has_created_company": False,
        "access": [
            {"app": app, "admin": user.is_admin, "permission_set_id": f"62cc4d7f-4038-4352-abf3-a8c1c822b63{number}"}
            for number, app in enumerate(("sales", "global", "account_settings"))
        ],
        "active_flag": user.is_active,
        "timezone_name": "Europe/Berlin",
        "timezone_offset": "+01:00",
        "role_id": 1,
        "icon_url": None,
        "is_you": user.id == call.user.id,
        "is_deleted": False,
    }


def _pipeline(pipeline: Pipeline) -> Json:
    return {
        "id": pipeline.id,
        "name": pipeline.name,
        "order_nr": pipeline.order_nr,
        "is_deleted": pipeline.is_deleted,
        "is_deal_probability_enabled": True,
        "add_time": rfc3339(pipeline.add_time),
        "update_time": rfc3339(pipeline.update_time),
    }


def _stage(stage: Stage) -> Json:
    return {
        "id": stage.id,
        "order_nr": stage.order_nr,
        "name": stage.name,
        "is_deleted": stage.is_deleted,
        "deal_probability": stage.probability,
        "pipeline_id": stage.pipeline_id,
        "is_deal_rot_enabled": False,
        "days_to_rotten": None,
        "add_time": rfc3339(stage.add_time),
        "update_time": rfc3339(stage.update_time),
    }


def _filter(saved: SavedFilter) -> Json:
    return {
        "id": saved.id,
        "name": saved.name,
        "filter_code": None,
        "is_editable": True,
        "active_flag": True,
        "type": saved.type,
        "temporary_flag": True if saved.is_temporary else None,
        "user_id": saved.user_id,
        "add_time": spaced(saved.add_time),
        "update_time": spaced(saved.add_time),
        "visible_to": "7",
        "last_used_time": None,
        "custom_view_id": None,
    }
