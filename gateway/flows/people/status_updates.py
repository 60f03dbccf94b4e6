"""Status updates: the host says that link, code, counts or names of people changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from gateway.errors import invalid, not_found
from gateway.flows.field_problems import field_problem
from gateway.flows.people.people import find, one
from gateway.flows.people.status_tasks import stats_task, tasks_for
from gateway.flows.services import Services
from gateway.flows.signups.codes import link_for
from gateway.flows.signups.intake import nul_in, problems_of_fields
from gateway.storage import campaigns, people, timeline
from gateway.storage.engine import AsyncConnection
from gateway.storage.people import Change, Name, PersonRow
from gateway.storage.tasks import insert_tasks
from gateway.storage.timeline import NewEntry
from gateway.storage.upsert import AlreadyThere
from gateway_schemas.base import FieldValue
from gateway_schemas.campaign import FormField
from gateway_schemas.person import Person, PersonPatch, StatusResult, StatusUpdate
from gateway_schemas.problem import FieldProblem

MAX_COUNT = 2_000_000_000


async def update(services: Services, account_id: str, ref: str, patch: PersonPatch) -> Person:
    """Change one person; what is left out stays.

    Raises:
        Refused: There is no such person, or a value is wrong.
    """
    async with services.database.read() as conn:
        person = await one(conn, account_id, ref)
    given = {
        name: value for name, value in msgspec.structs.asdict(patch).items() if name != "person" and value is not UNSET
    }
    result = (await _write(services, account_id, person.campaign_id, [StatusUpdate(person=person.id, **given)]))[0]
    if result.problems:
        raise invalid(*result.problems)
    return await find(services, account_id, person.id)


async def update_many(services: Services, account_id: str, campaign_id: str, raw: Sequence[Any]) -> list[StatusResult]:
    """Change up to 1,000 people of a campaign; each is done or refused on its own.

    Args:
        services: What every flow is given.
        account_id: The account.
        campaign_id: Its campaign.
        raw: Decoded JSON, one value an update.

    Raises:
        Refused: There is no such campaign.
    """
    async with services.database.read() as conn:
        if await campaigns.get(conn, account_id, campaign_id) is None:
            raise not_found("campaign", campaign_id)
    return await _write(services, account_id, campaign_id, [_decode(value) for value in raw])


def _decode(value: Any) -> StatusUpdate | FieldProblem:
    if (where := nul_in(value)) is not None:
        return FieldProblem(field=where, message="Leave out the character U+0000; it cannot be stored.")
    try:
        return msgspec.convert(value, StatusUpdate)
    except msgspec.ValidationError as error:
        return field_problem(error, StatusUpdate)


async def _write(
    services: Services, account_id: str, campaign_id: str, updates: Sequence[StatusUpdate | FieldProblem]
) -> list[StatusResult]:
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> list[StatusResult]:
        return await _apply(conn, account_id, campaign_id, updates, now)

    try:
        return await services.database.writer.run(write)
    except AlreadyThere:  # another process gave one of the codes away meanwhile: now it is seen
        return await services.database.writer.run(write)


async def _apply(
    conn: AsyncConnection,
    account_id: str,
    campaign_id: str,
    updates: Sequence[StatusUpdate | FieldProblem],
    now: datetime,
) -> list[StatusResult]:
    """Write updates of one campaign in a constant number of statements."""
    meant = await _meant(conn, account_id, campaign_id, [one for one in updates if isinstance(one, StatusUpdate)])
    campaign = await campaigns.get(conn, account_id, campaign_id)
    template = campaign.link_template if campaign is not None else None
    codes = _Names(await _owners(conn, "code", meant.values(), updates))
    external_ids = _Names(await _owners(conn, "external_id", meant.values(), updates))
    rows = await people.lock(conn, {found[0].id for found in meant.values() if len(found) == 1})
    results: list[StatusResult] = []
    changes: dict[str, dict[str, Any]] = {}
    for index, given in enumerate(updates):
        if isinstance(given, FieldProblem):
            results.append(StatusResult(index=index, problems=[given]))
            continue
        found = meant[given.person]
        if len(found) != 1 or found[0].id not in rows:
            message = (
                "There is no such person in this campaign."
                if not found
                else "It is a person in both roles; name one by its id: " + ", ".join(row.id for row in found) + "."
            )
            results.append(
                StatusResult(
                    index=index,
                    problems=[
                        FieldProblem(field="person", message=message, code="not_found" if not found else "ambiguous")
                    ],
                )
            )
            continue
        person = rows[found[0].id]
        problems, values = _values(person, given, template, codes)
        problems += _own_id(person, given, external_ids, values)
        if campaign is not None:
            before = changes.get(person.id, {}).get("fields", person.fields)
            problems += _answers(given, [one for one in campaign.fields if one.role == person.role], before, values)
        results.append(StatusResult(index=index, person=None if problems else person.id, problems=problems))
        if not problems:
            changes.setdefault(person.id, {}).update(values)
    real = {
        person: values
        for person, values in changes.items()
        if any(getattr(rows[person], name) != value for name, value in values.items())
    }
    await people.change(conn, [Change(id=person, values=values) for person, values in real.items()], now)
    changed = await people.by_ids(conn, real)
    counted = [row for row in changed.values() if "base_referrals" in real[row.id]]
    stats = [stats_task(row.id, row.account_id) for row in counted if row.role == "referrer"]
    await insert_tasks(conn, [*stats, *await tasks_for(conn, changed.values())], now)
    await timeline.add(conn, [_entry(row, real[row.id]) for row in changed.values()], now)
    return results


class _Names:
    """Who owns which code or external id, updates of this list included."""

    def __init__(self, owners: dict[Name, str]) -> None:
        self._owners = owners

    def take(self, person: PersonRow, value: str) -> bool:
        """Give it to a person; return False if it is somebody else's."""
        return (
            self._owners.setdefault(Name(person.account_id, person.campaign_id, person.role, value), person.id)
            == person.id
        )


def _values(
    person: PersonRow, given: StatusUpdate, template: str | None, codes: _Names
) -> tuple[list[FieldProblem], dict[str, Any]]:
    values: dict[str, Any] = {}
    for name in ("first_name", "last_name", "phone", "link", "code"):
        value = getattr(given, name)
        if value is not UNSET:
            values[name] = value
    if values.get("code") is not None:
        if not codes.take(person, values["code"]):
            return [
                FieldProblem(
                    field="code", message="It belongs to another person of this campaign and role.", code="taken"
                )
            ], {}
        if "link" not in values and (link := link_for(template, values["code"])) is not None:
            values["link"] = link
    if given.counts is not UNSET:
        if person.role != "referrer":
            return [FieldProblem(field="counts", message="Only a referrer has counts.", code="wrong_role")], {}
        numbers = (given.counts.referrals, given.counts.qualified)
        if not all(0 <= number <= MAX_COUNT for number in numbers):
            return [FieldProblem(field="counts", message=f"Send numbers from 0 to {MAX_COUNT}.")], {}
        # the host's word is the base; what we carry since is added to it
        values |= {"base_referrals": numbers[0], "base_qualified": numbers[1], "referrals": 0, "qualified": 0}
    return [], values


def _own_id(person: PersonRow, given: StatusUpdate, external_ids: _Names, values: dict[str, Any]) -> list[FieldProblem]:
    """Add the external id to the values, or say that it is somebody else's."""
    if given.external_id is UNSET:
        return []
    if given.external_id is not None and not external_ids.take(person, given.external_id):
        message = "It belongs to another person of this campaign and role."
        return [FieldProblem(field="external_id", message=message, code="taken")]
    values["external_id"] = given.external_id
    return []


def _answers(
    given: StatusUpdate, declared: Sequence[FormField], before: dict[str, FieldValue], values: dict[str, Any]
) -> list[FieldProblem]:
    """Add the form's answers to the values, or say which fit no declared field."""
    if given.fields is UNSET:
        return []
    problems = problems_of_fields(given.fields, declared, prefix="fields")
    if not problems:
        merged = {**before, **given.fields}
        values["fields"] = {key: value for key, value in merged.items() if value is not None}
    return problems


async def _meant(
    conn: AsyncConnection, account_id: str, campaign_id: str, updates: Sequence[StatusUpdate]
) -> dict[str, list[PersonRow]]:
    """Return whom each reference of the list means."""
    refs = {one.person for one in updates}
    external = {ref: ref.removeprefix("ext:") for ref in refs if ref.startswith("ext:")}
    names = {
        Name(account_id, campaign_id, role, value) for value in external.values() for role in ("referrer", "referred")
    }
    by_external: dict[str, list[PersonRow]] = {}
    for row in await people.find(conn, "external_id", names):
        by_external.setdefault(row.external_id or "", []).append(row)
    by_id = await people.by_ids(conn, refs - set(external))
    found: dict[str, list[PersonRow]] = {}
    for ref in refs:
        if ref in external:
            found[ref] = by_external.get(external[ref], [])
        else:
            person = by_id.get(ref)
            mine = person is not None and (person.account_id, person.campaign_id) == (account_id, campaign_id)
            found[ref] = [person] if person is not None and mine else []
    return found


async def _owners(
    conn: AsyncConnection,
    identifier: Literal["code", "external_id"],
    meant: Any,
    updates: Sequence[StatusUpdate | FieldProblem],
) -> dict[Name, str]:
    """Return who owns the codes, or external ids, that are to be given."""
    places = {(row.account_id, row.campaign_id, row.role) for found in meant for row in found}
    given = {getattr(one, identifier) for one in updates if isinstance(one, StatusUpdate)}
    names = {Name(*place, value) for place in places for value in given if isinstance(value, str)}
    return {
        Name(row.account_id, row.campaign_id, row.role, getattr(row, identifier)): row.id
        for row in await people.find(conn, identifier, names)
    }


def _entry(row: PersonRow, values: dict[str, Any]) -> NewEntry:
    names = {"base_referrals": "counts", "base_qualified": "counts", "referrals": "counts", "qualified": "counts"}
    changed = sorted({names.get(name, name) for name in values})
    return NewEntry(
        row.id, row.account_id, "person.updated", f"The host changed: {', '.join(changed)}.", {"changed": changed}
    )
