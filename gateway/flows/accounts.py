"""Accounts as the host tells them: checked, stored, shown."""

from zoneinfo import available_timezones

import msgspec
from phonenumbers import SUPPORTED_REGIONS

from gateway.errors import invalid, not_found
from gateway.flows.services import Services
from gateway.storage import accounts
from gateway.storage.engine import AsyncConnection
from gateway_schemas.account import Account, AccountInput
from gateway_schemas.base import Page
from gateway_schemas.problem import FieldProblem

# ISO 4217 codes in use; without the test code and the metals
_CURRENCIES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
    CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
    GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT
    LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
    NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP
    STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF
    XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CURRENCIES.split())


async def put_account(services: Services, account_id: str, account: AccountInput) -> tuple[Account, bool]:
    """Store what the host says of an account; return it, and whether it is new.

    Raises:
        Refused: ``invalid_input`` naming name, time zone, currency or country.
    """
    problems = []
    account = msgspec.structs.replace(account, name=account.name.strip())
    if not account.name:
        text = "The name is blank; people see it on the pages that connect a CRM."
        problems.append(FieldProblem(field="name", message=text, code="required"))
    if account.timezone not in available_timezones():
        text = f"{account.timezone!r} is no time zone; use an IANA name, for example Europe/Berlin."
        problems.append(FieldProblem(field="timezone", message=text, code="unknown_timezone"))
    if account.currency not in CURRENCIES:
        text = f"{account.currency!r} is no currency in use; use an ISO 4217 code, for example EUR."
        problems.append(FieldProblem(field="currency", message=text, code="unknown_currency"))
    if account.country is not None and account.country not in SUPPORTED_REGIONS:
        text = f"{account.country!r} is no country; use an ISO 3166-1 code of two letters, for example DE."
        problems.append(FieldProblem(field="country", message=text, code="unknown_country"))
    if problems:
        raise invalid(*problems)
    now = services.clock.now()
    return await services.database.writer.run(lambda conn: accounts.put(conn, account_id, account, now))


async def get_account(services: Services, account_id: str) -> Account:
    """Return an account.

    Raises:
        Refused: ``not_found``.
    """
    async with services.database.read() as conn:
        return await existing(conn, account_id)


async def existing(conn: AsyncConnection, account_id: str) -> Account:
    """Return an account, or refuse with ``not_found``."""
    account = await accounts.get(conn, account_id)
    if account is None:
        raise not_found("account", account_id)
    return account


async def list_accounts(services: Services, *, cursor: str | None, limit: int) -> Page[Account]:
    """Return one page of all accounts, by id."""
    async with services.database.read() as conn:
        found = await accounts.list_accounts(conn, after=cursor or "", limit=limit + 1)
    return Page(data=found[:limit], next=found[limit - 1].id if len(found) > limit else None)
