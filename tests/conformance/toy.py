"""The scaffold's plugin as a good toy, and small variations of it, each broken in one way."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import hookimpl, testing
from gateway.plugins import Integration, Registry
from gateway.testing.world import Subject

SCAFFOLD = Path(testing.__file__).parent / "scaffold"
if str(SCAFFOLD) not in sys.path:
    sys.path.insert(0, str(SCAFFOLD))

from gateway_acme import plugin, sandbox  # noqa: E402 - found by the line above

HOOKS = [name for name in vars(plugin) if hasattr(getattr(plugin, name), "gateway_impl")]


def made_of(hooks: dict[str, Any]) -> Integration:
    """Make the integration of functions by hook name; ``None`` leaves a hook out."""
    module = types.ModuleType("gateway_acme_varied")
    for name, function in hooks.items():
        if function is not None:
            setattr(module, name, hookimpl(function, specname=name))
    return Integration("acme", module, distribution="referral-gateway-acme", version="0.1.0")


def subject(vary: Callable[[], dict[str, Any]] = dict, sandbox_module: Any = sandbox) -> Subject:
    """Return the toy with other hooks; ``vary`` is called for each process, whose memory its hooks have."""

    def registry() -> Registry:
        return Registry([made_of({name: getattr(plugin, name) for name in HOOKS} | vary())])

    return Subject("acme", registry, sandbox_module)
