"""What a sandbox brings so that the conformance suite can drive it: the vendor's side of every flow.

The module behind the entry point ``gateway.sandboxes`` exports ``driver(clock=…, http=…, gateway_url=…)`` beside
``create_app`` and ``story``. Like them it is matched by shape: a sandbox need not import the gateway.

A driver does what people do at the vendor and what the vendor does by itself. What goes wrong on the wire (answers that
are lost, webhooks that come twice) is not its business: the suite stands between gateway and vendor and does that.

Two ways to say that something does not apply, both with a sentence that stands on the quality card:

* ``exempt``: the key of a rule, and why it does not apply to this vendor;
* ``raise NotImplementedError("…")`` out of ``make_fields`` or ``make_options``: this one list cannot grow.

Capabilities that the plugin does not offer need nothing: their rules do not apply, and the driver's methods for them
are not called.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import httpx

from gateway_schemas.base import Money
from gateway_schemas.records import RecordRef


class Driver(Protocol):
    """One vendor tenant in a fresh sandbox, and all that happens there.

    Attributes:
        hosts: Host names under which the plugin reaches the vendor, token endpoint included.
        transport: Answers requests to these hosts, in this process.
        identity: The tenant's identity, as a connection has it.
        exempt: Rules that do not apply: key, and a sentence that says why.
        page_size: The most rows that one page of the vendor's lists of fields and options has.
        contact_page: The most contacts that come in one page of ``read_contacts``.
        proof_headers: Headers by which the vendor's calls prove their origin, lower-case.
        signs_body: The proof covers the body: a changed body must be refused.
    """

    @property
    def hosts(self) -> Sequence[str]: ...  # noqa: D102 - see the attributes above
    @property
    def transport(self) -> httpx.AsyncBaseTransport: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def exempt(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def page_size(self) -> int: ...  # noqa: D102
    @property
    def contact_page(self) -> int: ...  # noqa: D102
    @property
    def proof_headers(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def signs_body(self) -> bool: ...  # noqa: D102

    def environ(self) -> Mapping[str, str]:
        """Return the plugin's settings that belong to this sandbox."""
        ...

    # --- connecting ---

    async def authorise(self, url: str, browser: httpx.AsyncClient, *, allow: bool) -> httpx.Response:
        """Do what a person clicks on the vendor's page for a ``redirect`` step; return the page that comes last.

        Args:
            url: Where the gateway sends the person.
            browser: Reaches the vendor and the gateway; carries no key.
            allow: Allow our app, or refuse it.
        """
        ...

    def step_values(self, step: str) -> Mapping[str, str]:
        """Return the right values of a ``form`` step, as they are now at the vendor."""
        ...

    def wrong_values(self, step: str) -> Mapping[str, Mapping[str, str]]:
        """Return for each field of a ``form`` step that can be wrong a whole form in which it alone is wrong."""
        ...

    def expire_token(self) -> None:
        """Let the access tokens that were given end now, before their time; new ones can be had.

        Not called where the manifest's credentials have no ``token_path``: keys do not end by themselves.
        """
        ...

    def registered(self) -> Sequence[str]:
        """List what of ours the vendor has registered for this tenant now: subscriptions, live authorisations."""
        ...

    # --- refusing ---

    def answer(self, status: int) -> httpx.Response:
        """Return the vendor's own answer with this status: 401, 403, 429 (wait a few seconds) or 503."""
        ...

    # --- lists ---

    def make_fields(self, record_kind: str, number: int) -> Sequence[str]:
        """Make so many custom fields of a record kind; return their labels."""
        ...

    def make_options(self, source: str, number: int) -> Sequence[str]:
        """Make so many options of a source; return their values."""
        ...

    # --- signups ---

    def setup(self, target: str) -> Mapping[str, Any]:
        """Return what a setup for this target needs beside the suggested mapping; most vendors: nothing."""
        ...

    def records(self, email: str) -> Sequence[RecordRef]:
        """List every living record that belongs to this e-mail: contacts, and what hangs on them, but no notes."""
        ...

    # --- changes ---

    def parameters(self, trigger: str) -> Mapping[str, str]:
        """Return the parameters with which a rule of this trigger is set."""
        ...

    async def reach(self, trigger: str, target: str, email: str) -> None:
        """Do in the CRM what this trigger watches, to the records of a signup (with the same parameters)."""
        ...

    async def deliver(self) -> int:
        """Send the webhooks that are due; return how many were sent."""
        ...

    def set_app_url(self, url: str) -> None:
        """Learn to which URL the vendor's calls for the app as a whole go, where it is set at the vendor by hand."""
        ...

    async def call_app(self) -> None:
        """Let the vendor call the app as a whole once: an uninstall, or a notice for one of all tenants."""
        ...

    # --- contacts ---

    def contacts(self) -> Mapping[str, str | None]:
        """Return the living contacts: id, and the first e-mail address."""
        ...

    def add_contact(self, email: str) -> str:
        """Add a contact as a person at the vendor would; return its id. Plugins that take signups need it too."""
        ...

    def edit_contact(self, contact: str) -> None:
        """Change a contact's name: it is the newest change now."""
        ...

    def delete_contact(self, contact: str) -> None:
        """Delete a contact."""
        ...


@runtime_checkable
class HasUnprovenParts(Protocol):
    """A driver may say beside which parts of its ``proof_headers`` prove nothing, and so are not forged.

    Such as ``v0`` of ``t=1700000000,v1=5257a8…,v0=6ffbb5…``, where receivers must look at ``v1`` alone. Everything else
    is forged part by part.
    """

    @property
    def unproven_parts(self) -> Sequence[str]:
        """Keys of the parts."""
        ...


@runtime_checkable
class TellsWorth(Protocol):
    """A driver must say beside what sales are worth, where the manifest has record kinds with a sale value."""

    def worth(self, trigger: str, target: str) -> tuple[str, str, Money] | None:
        """Return what the sale is worth that ``reach`` makes: record kind, key of its field, and the money.

        Take an amount with cents and, where the vendor has more than one, another currency than the tenant's.
        ``None``: this trigger is true before there is a sale.
        """
        ...


class AutomationDriver(Driver, Protocol):
    """What the driver of an automation says beside."""

    def samples(self, event_type: str) -> str | None:
        """Return the path, below ``/v1/apps/{integration}/``, of samples of an event type.

        ``None``: none shows them by event type; what the host makes for the plugin's routes is looked at.
        """
        ...


class NoVendor:
    """The driver of an automation that brings no sandbox: no vendor of its own, and nothing to be driven there."""

    hosts: Sequence[str] = ()
    identity = ""
    exempt: Mapping[str, str] = {}
    page_size = 50
    contact_page = 50
    proof_headers: Sequence[str] = ()
    signs_body = False

    def __init__(self) -> None:
        self.transport: httpx.AsyncBaseTransport = httpx.MockTransport(lambda _: httpx.Response(404))

    def environ(self) -> Mapping[str, str]:
        """There are no settings."""
        return {}

    async def deliver(self) -> int:
        """There are no webhooks."""
        return 0

    def registered(self) -> Sequence[str]:
        """Nothing of ours stands anywhere."""
        return ()

    def samples(self, _event_type: str) -> str | None:
        """No path is known."""
        return None

    def __getattr__(self, name: str) -> Any:
        """Refuse everything else in words."""
        raise NotImplementedError(f"the automation brings no sandbox, so there is no {name}; see docs/plugins.md")


class MakesDriver(Protocol):
    """A sandbox module, as far as the suite needs it."""

    def driver(self, *, clock: Callable[[], datetime], http: httpx.AsyncClient, gateway_url: str) -> Driver:
        """Make a fresh sandbox and return its driver.

        Args:
            clock: Returns the time, aware; tests move it, and everything at the vendor that takes time moves with it.
            http: Sends the vendor's webhooks; reaches the gateway alone.
            gateway_url: Under which the gateway is reached, for callback URLs.
        """
        ...
