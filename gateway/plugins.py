"""Finds integrations by entry point and makes every hook call.

Each plugin is registered in a ``pluggy.PluginManager`` of its own with the same hook specs, so a call
for one account's CRM cannot reach another plugin. A plugin that is broken is *quarantined*: shown with
what is wrong, while the others serve on.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

import msgspec
import pluggy
import structlog

from gateway import hookspecs
from gateway.sdk.errors import OutcomeUnknown, PluginError
from gateway.settings import SettingsError, load
from gateway_schemas.manifest import AccountKey, Credentials, Manifest

GROUP = "gateway.plugins"
R = TypeVar("R")
_log = structlog.get_logger()


SHARED = frozenset({"webhook_id"})
OWN_HEADERS = frozenset({"connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"})
"""What the host, or HTTP itself, says with a call; no credential stands there."""
"""Hooks that serve calls of every kind, so that they make no capability by themselves."""


class Integration:
    """One installed integration: its manifest, settings, and the hooks it implements.

    Attributes:
        key: Name of the integration, for example ``pipedrive``.
        hooks: The plugin's hooks with their static types; call ``async`` ones through ``call``.
        capabilities: Names of the capabilities of which it implements at least one hook.
    """

    def __init__(self, key: str, plugin: object, *, distribution: str = "", version: str = "") -> None:
        self.key = key
        self.distribution = distribution
        self.version = version
        manager = pluggy.PluginManager("gateway")
        manager.add_hookspecs(hookspecs.Hooks)
        manager.register(plugin, name=key)
        manager.check_pending()
        self._manager = manager
        self.hooks = cast("hookspecs.Hooks", manager.hook)
        if not self.has("describe"):
            raise TypeError("the plugin implements no describe() hook")
        self.manifest: Manifest = self.hooks.describe()
        self._check_manifest()
        self.settings: Any = None
        self.settings_error: str | None = None
        self.capabilities = frozenset(
            capability.__name__
            for capability in hookspecs.CAPABILITIES
            if any(self.has(name) for name in hooks_of(capability) if name not in SHARED)
        )

    def _check_manifest(self) -> None:
        manifest = self.manifest
        if not isinstance(manifest, Manifest):
            raise TypeError(f"describe() returned {type(manifest).__name__}, not a Manifest")
        if manifest.key != self.key:
            raise ValueError(f"its manifest says key {manifest.key!r}, its entry point {self.key!r}")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", manifest.key):
            raise ValueError(f"key {manifest.key!r}: use lower-case letters, digits and _")
        if manifest.spec_version not in hookspecs.SUPPORTED_VERSIONS:
            known = ", ".join(map(str, sorted(hookspecs.SUPPORTED_VERSIONS)))
            raise ValueError(f"it asks for hook spec {manifest.spec_version}; this gateway runs {known}")
        if isinstance(manifest.auth, AccountKey) and manifest.connect_steps:
            raise ValueError("connecting makes its account key, so its manifest can have no connect steps")
        if isinstance(manifest.auth, Credentials):
            _check_headers(manifest, manifest.auth)
        msgspec.json.encode(manifest)

    def has(self, hook: str) -> bool:
        """Say whether the plugin implements a hook."""
        caller = getattr(self._manager.hook, hook, None)
        return caller is not None and bool(caller.get_hookimpls())

    def configure(self, environ: Mapping[str, str] | None = None) -> None:
        """Read the plugin's settings; what is missing is kept in ``settings_error`` and shown, not raised."""
        if not self.has("settings_type"):
            return
        try:
            self.settings = load(self.hooks.settings_type(), prefix=f"GATEWAY_{self.key.upper()}_", environ=environ)
            self.settings_error = None
        except SettingsError as error:
            self.settings_error = str(error)

    async def call(self, awaitable: Awaitable[R], *, timeout_seconds: float) -> R:
        """Await one hook with a time-out; every ``async`` hook call of the host goes through here.

        No hook wrappers are used for this: pluggy's wrapper sees the coroutine, not its outcome.

        Raises:
            OutcomeUnknown: The time-out passed; what was sent may have been done.
            PluginError: As the plugin raised it.
            Exception: Anything else is a bug of the plugin.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await awaitable
        except TimeoutError as error:
            raise OutcomeUnknown(f"{self.key}: no answer within {timeout_seconds:.0f} s") from error
        except PluginError:
            raise
        except Exception:
            _log.exception("plugin.bug", integration=self.key)
            raise


def _check_headers(manifest: Manifest, auth: Credentials) -> None:
    fields = {field.key for step in manifest.connect_steps for field in step.fields}
    taken = set() if auth.token_path is None else {"authorization"}  # the access token goes there
    for header in auth.headers:
        if header.field not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise ValueError(f"header {header.name!r} holds {header.field!r}; the connect forms ask for: {known}")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header.name):
            raise ValueError(f"{header.name!r} is no name of a header: use letters, digits and -")
        if not re.fullmatch(r"[\x20-\x7e]*", header.prefix):
            raise ValueError(f"the prefix of header {header.name!r} has characters that no header may have")
        if header.name.lower() in taken | OWN_HEADERS:
            raise ValueError(f"header {header.name!r} is named twice, or is one that the host sends itself")
        taken.add(header.name.lower())


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found but cannot be used."""

    key: str
    distribution: str
    reason: str


class Registry:
    """All integrations of this process."""

    def __init__(self, integrations: Sequence[Integration], quarantined: Sequence[Quarantined] = ()) -> None:
        self._by_key = {integration.key: integration for integration in integrations}
        self.quarantined = list(quarantined)

    def __iter__(self) -> "Any":
        """Iterate over the usable integrations by key."""
        return iter(sorted(self._by_key.values(), key=lambda one: one.key))

    def get(self, key: str) -> Integration | None:
        """Return a usable integration, or ``None``."""
        return self._by_key.get(key)

    def configure(self, environ: Mapping[str, str] | None = None) -> "Registry":
        """Read every plugin's settings."""
        for integration in self._by_key.values():
            integration.configure(environ)
        return self


def hooks_of(capability: type) -> list[str]:
    """Return the hook names of one capability."""
    return [name for name, member in vars(capability).items() if hasattr(member, "gateway_spec")]


def discover(found: Sequence[EntryPoint] | None = None) -> Registry:
    """Load every plugin of the entry point group; broken ones are quarantined.

    Args:
        found: Entry points (tests); default: those of the installed distributions.
    """
    points = list(entry_points(group=GROUP)) if found is None else list(found)
    names = [point.name for point in points]
    integrations: list[Integration] = []
    quarantined: list[Quarantined] = []
    for point in sorted(points, key=lambda one: (one.name, _distribution(one)[0])):
        distribution, version = _distribution(point)
        if names.count(point.name) > 1:
            others = sorted(_distribution(one)[0] for one in points if one.name == point.name)
            reason = f"two distributions bring {point.name!r}: {', '.join(others)}; uninstall one"
            quarantined.append(Quarantined(key=point.name, distribution=distribution, reason=reason))
            continue
        try:
            integrations.append(Integration(point.name, point.load(), distribution=distribution, version=version))
        except Exception as error:  # noqa: BLE001 - whatever a third party's module raises must not stop the others
            _log.warning("plugin.quarantined", integration=point.name, distribution=distribution, error=str(error))
            quarantined.append(
                Quarantined(key=point.name, distribution=distribution, reason=f"{type(error).__name__}: {error}")
            )
    return Registry(integrations, quarantined)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")
