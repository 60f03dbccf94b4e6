"""Set an account up over the API, as a host and its customer would: connect, two campaigns, a setup for each role."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from gateway.flows.connections.app_calls import app_url
from gateway.sdk.clock import Clock
from gateway.settings import Settings, load
from gateway.storage.engine import Database
from gateway.storage.vault import Vault

from .crms import Crm
from .load import CAMPAIGNS

ApiCall = Callable[..., Awaitable[Any]]


async def set_up_account(
    call: ApiCall, crm: Crm, key: str, account: str, browser: httpx.AsyncClient, *, watched: Callable[[str], bool]
) -> dict[tuple[str, str], str]:
    """Set one account up; return the code of the referrer in each campaign.

    Args:
        call: ``await call(method, path, body)``; raises when it is refused.
        crm: Where it is connected.
        key: The integration.
        account: Its id.
        browser: Follows the vendor's pages back to the gateway.
        watched: Says whether referrals of a campaign qualify by what happens in the CRM.
    """
    where = f"/v1/accounts/{account}"
    await call("PUT", where, {"name": account, "currency": "EUR", "country": "DE"})
    await _connect(call, crm, key, account, browser)
    codes = {}
    for campaign in CAMPAIGNS:
        body = {"name": campaign.title(), "state": "live", "link_template": "https://refer.example/{code}"}
        await call("PUT", f"{where}/campaigns/{campaign}", body)
        for role, setup in crm.setups().items():
            body = setup if watched(campaign) else {k: value for k, value in setup.items() if k != "qualification"}
            await call("PUT", f"{where}/campaigns/{campaign}/setups/{role}", body)
        rita = {"role": "referrer", "person": {"email": f"rita@{account}.example", "first_name": "Rita"}}
        answer = await call("POST", f"{where}/campaigns/{campaign}/signups", rita)
        person = await call("GET", f"{where}/people/{answer['results'][0]['person']}")
        codes[account, campaign] = person["code"]
    return codes


async def _connect(call: ApiCall, crm: Crm, key: str, account: str, browser: httpx.AsyncClient) -> None:
    """Go through the connect steps, whichever the integration has; at a staged one the operator approves at once."""
    connection = await call("POST", f"/v1/accounts/{account}/connections", {"integration": key})
    path = f"/v1/connections/{connection['id']}"
    while connection["state"] != "active":
        step = connection["next_step"]
        if step["kind"] == "redirect":
            await crm.connect(account, step, browser)
            return
        if step["kind"] == "form":
            body = {"values": crm.fill_in(account, step["step"])}
            connection = await call("POST", f"{path}/steps/{step['step']}", body)
        else:
            connection = await call("POST", f"{path}/approve", {})


async def app_url_of(environ: dict[str, str], key: str) -> str:
    """Return where a vendor calls us for all tenants at once, as ``gateway doctor`` tells it to the operator."""
    settings = load(Settings, environ=environ)
    database = await Database.open(settings.database_url, Clock())
    try:
        vault = Vault(settings.secret_keys)
        await vault.load(database)
        return app_url(settings.public_url, vault, key)
    finally:
        await database.close()
