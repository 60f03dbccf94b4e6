"""Shipped to plugin authors: a whole world in one process, the conformance suite, and a fake host.

Needs the extra ``testing``. ``IntegrationConformance`` is the suite; see ``docs/plugins.md``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.testing.conformance.suite import IntegrationConformance

__all__ = ["IntegrationConformance"]


def __getattr__(name: str) -> Any:
    """Import the suite when it is asked for: the fake host and the demo need no pytest."""
    if name == "IntegrationConformance":
        from gateway.testing.conformance.suite import IntegrationConformance

        return IntegrationConformance
    raise AttributeError(name)
