"""Campaigns as the host declares them: form fields, link template, and the rules of rewards.

A reward keeps the rule that it arose from, so changing the rules touches no reward that is there.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal

from gateway.errors import Refused, invalid, not_found
from gateway.flows.accounts import CURRENCIES, existing
from gateway.flows.rewards.money import LARGEST
from gateway.flows.services import Services
from gateway.sdk.money import digits
from gateway.storage import accounts, campaigns
from gateway.storage.campaigns import CampaignRow
from gateway.storage.connections import lane, open_crm
from gateway.storage.engine import AsyncConnection
from gateway.storage.tasks import NewTask, insert_tasks
from gateway_schemas.base import Page
from gateway_schemas.campaign import Campaign, CampaignInput, FormField, RewardRule
from gateway_schemas.problem import FieldProblem


async def save(services: Services, account_id: str, campaign_id: str, given: CampaignInput) -> tuple[Campaign, bool]:
    """Store a campaign and return it, and whether it is new; the same again changes nothing.

    Raises:
        Refused: There is no such account, or fields are wrong; each is named.
    """
    if problems := check(given):
        raise invalid(*problems)
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> tuple[CampaignRow, bool]:
        if await accounts.get(conn, account_id) is None:
            raise not_found("account", account_id)
        before = await campaigns.get(conn, account_id, campaign_id)
        saved = await campaigns.upsert(conn, account_id, campaign_id, given, now)
        if before is not None and _setups_depend_on(before) != _setups_depend_on(saved):
            # a form field that is gone, or back, may break or mend the mappings of the campaign's setups; what they
            # are warned of depends on whether codes are made
            connection = await open_crm(conn, account_id)
            if connection is not None and connection.identity is not None:
                await insert_tasks(conn, [check_task(connection.id, account_id, lane(connection))], now)
        return saved, before is None

    row, made = await services.database.writer.run(write)
    return shown(row), made


async def save_rewards(
    services: Services, account_id: str, campaign_id: str, rules: list[RewardRule], *, seen: str
) -> Campaign:
    """Store the rules of rewards alone; all else of the campaign stays as it is saved.

    Args:
        services: The process's services.
        account_id: Whose campaign.
        campaign_id: Which.
        rules: All of them.
        seen: Mark (``storage.campaigns.mark_of``) of the rules that they take the place of.

    Raises:
        Refused: There is no campaign, fields are wrong, or ``changed_meanwhile``.
    """
    problems = [
        *_check_unique_rules(rules),
        *(problem for index, rule in enumerate(rules) for problem in _check_rule(f"rewards[{index}]", rule)),
    ]
    if problems:
        raise invalid(*problems)
    now = services.clock.now()

    async def write(conn: AsyncConnection) -> CampaignRow:
        before = await campaigns.lock(conn, account_id, campaign_id)
        if before is None:
            raise not_found("campaign", campaign_id)
        if campaigns.mark_of(before.rewards) != seen:
            raise changed_meanwhile()
        given = CampaignInput(
            name=before.name,
            state=before.state,
            fields=before.fields,
            link_template=before.link_template,
            rewards=rules,
        )
        return await campaigns.upsert(conn, account_id, campaign_id, given, now)

    return shown(await services.database.writer.run(write))


def _setups_depend_on(row: CampaignRow) -> tuple[list[FormField], bool]:
    return row.fields, row.link_template is None


def changed_meanwhile() -> Refused:
    """Return the refusal of a page that shows what is not saved any more."""
    return Refused("changed_meanwhile", "Somebody saved this after you opened the page. Nothing of yours is saved yet.")


def check_task(connection_id: str, account_id: str, lane_id: str) -> NewTask:
    """Return the task that compares a connection's setups with campaigns and vendor (run by ``attention``)."""
    return NewTask(
        kind="check_setups",
        args={"connection": connection_id},
        lane=lane_id,
        account_id=account_id,
        priority=3,
        unique_key=f"check_setups:{connection_id}",
    )


async def find(services: Services, account_id: str, campaign_id: str) -> Campaign:
    """Return one campaign.

    Raises:
        Refused: There is none.
    """
    async with services.database.read() as conn:
        row = await campaigns.get(conn, account_id, campaign_id)
    if row is None:
        raise not_found("campaign", campaign_id)
    return shown(row)


async def check_known(services: Services, account_id: str, campaign_id: str | None) -> None:
    """Go on if there is such an account, and such a campaign of it where one is given.

    Raises:
        Refused: ``not_found`` for the account or the campaign.
    """
    async with services.database.read() as conn:
        await existing(conn, account_id)
        if campaign_id is not None and await campaigns.get(conn, account_id, campaign_id) is None:
            raise not_found("campaign", campaign_id)


async def find_page(
    services: Services, account_id: str, limit: int, cursor: str | None, words: str | None = None
) -> Page[Campaign]:
    """Return one page of an account's campaigns, by id; the cursor is the last id of the page before.

    Args:
        services: The process's services.
        account_id: Whose.
        limit: How many.
        cursor: ``next`` of the page before.
        words: Part of a name or id; null: all.

    Raises:
        Refused: ``not_found`` for the account.
    """
    async with services.database.read() as conn:
        await existing(conn, account_id)
        rows = await campaigns.list_campaigns(conn, account_id, limit=limit + 1, after=cursor, words=words)
    more = len(rows) > limit
    return Page(data=[shown(row) for row in rows[:limit]], next=rows[limit - 1].id if more else None)


async def find_some(
    services: Services, account_id: str, ids: Collection[str] | None = None, *, skip: int = 0, limit: int | None = None
) -> list[Campaign]:
    """Return campaigns of an account by id: these, or all but the first ``skip``; at most ``limit`` of them."""
    async with services.database.read() as conn:
        if ids is None:
            rows = await campaigns.list_campaigns(conn, account_id, limit=limit, skip=max(0, skip))
        else:
            found = await campaigns.by_ids(conn, account_id, sorted(set(ids)))
            rows = [found[one] for one in sorted(found)][max(0, skip) :][:limit]
    return [shown(row) for row in rows]


async def names_of(services: Services, account_id: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of these campaigns by id; those that are not there are left out."""
    async with services.database.read() as conn:
        found = await campaigns.by_ids(conn, account_id, sorted(set(ids)))
    return {one.id: one.name for one in found.values()}


def shown(row: CampaignRow) -> Campaign:
    """Return the campaign as the API shows it."""
    return Campaign(
        id=row.id,
        account=row.account_id,
        name=row.name,
        state=row.state,
        fields=row.fields,
        link_template=row.link_template,
        rewards=row.rewards,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


# --- what the schema cannot say --------------------------------------------------------------------


def check(given: CampaignInput) -> list[FieldProblem]:
    """Return what is wrong with a declared campaign, each problem with the path of its field."""
    return [
        *_check_form(given.fields),
        *_check_template(given.link_template),
        *_check_unique_rules(given.rewards),
        *(problem for index, rule in enumerate(given.rewards) for problem in _check_rule(f"rewards[{index}]", rule)),
    ]


def _check_form(fields: Sequence[FormField]) -> Iterator[FieldProblem]:
    seen: Counter[tuple[str, str]] = Counter()
    for index, field in enumerate(fields):
        seen[field.role, field.key] += 1
        if seen[field.role, field.key] == 2:
            message = f"The key {field.key!r} is declared twice for the role {field.role}; give each field its own."
            yield FieldProblem(field=f"fields[{index}].key", message=message, code="duplicate")


def _check_template(template: str | None) -> Iterator[FieldProblem]:
    others = re.findall(r"\{[^}]*\}", (template or "").replace("{code}", ""))
    if others:
        message = f"{', '.join(others)} means nothing here; {{code}} is the only placeholder."
        yield FieldProblem(field="link_template", message=message)


def _check_unique_rules(rules: Sequence[RewardRule]) -> Iterator[FieldProblem]:
    seen: Counter[str] = Counter()
    for index, rule in enumerate(rules):
        seen[rule.key] += 1
        if seen[rule.key] == 2:
            message = f"Two rules have the key {rule.key!r}; give each its own."
            yield FieldProblem(field=f"rewards[{index}].key", message=message, code="duplicate")


def _check_rule(path: str, rule: RewardRule) -> Iterator[FieldProblem]:
    if rule.kind == "fixed":
        if rule.amount is None:
            yield FieldProblem(field=f"{path}.amount", message="A fixed reward needs an amount.", code="missing")
        if rule.currency is None:
            yield FieldProblem(field=f"{path}.currency", message="A fixed reward needs a currency.", code="missing")
        yield from _check_absent(path, "fixed", percent=rule.percent, cap=rule.cap)
    else:
        if rule.percent is None:
            yield FieldProblem(field=f"{path}.percent", message="A percentage reward needs a percent.", code="missing")
        elif not (rule.percent.is_finite() and 0 < rule.percent <= 100):
            yield FieldProblem(field=f"{path}.percent", message="Use more than 0 and at most 100.")
        elif _decimals(rule.percent) > 6:
            yield FieldProblem(field=f"{path}.percent", message="Use at most 6 decimals.")
        if rule.cap is not None and rule.currency is None:
            yield FieldProblem(field=f"{path}.currency", message="A cap needs a currency.", code="missing")
        yield from _check_absent(path, "percentage", amount=rule.amount)
    if rule.currency is not None and rule.currency not in CURRENCIES:
        yield FieldProblem(field=f"{path}.currency", message=f"{rule.currency} is no currency in use (ISO 4217).")
    yield from _check_amount(f"{path}.amount", rule.amount, rule.currency)
    yield from _check_amount(f"{path}.cap", rule.cap, rule.currency)


def _check_absent(path: str, kind: str, **values: Decimal | None) -> Iterator[FieldProblem]:
    for name, value in values.items():
        if value is not None:
            message = f"A {kind} reward has no {name}; leave it out or change the kind."
            yield FieldProblem(field=f"{path}.{name}", message=message)


def _check_amount(path: str, amount: Decimal | None, currency: str | None) -> Iterator[FieldProblem]:
    if amount is None:
        return
    if not amount.is_finite() or not 0 < amount < LARGEST:
        yield FieldProblem(field=path, message="Use an amount greater than 0.")
    elif currency is not None and _decimals(amount) > (most := digits(currency)):
        yield FieldProblem(field=path, message=f"{currency} has at most {most} decimals.")


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    return max(-exponent, 0)


def refuse_unknown(row: CampaignRow | None, campaign_id: str) -> CampaignRow:
    """Return the campaign, or refuse because there is none."""
    if row is None:
        raise Refused("not_found", f"There is no campaign {campaign_id!r} here; declare it with PUT first.")
    return row
