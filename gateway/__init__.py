"""Referral integration gateway: the host process that joins a referral platform to CRMs.

``from gateway import hookimpl`` is all a plugin needs from here; this module imports neither
Litestar nor SQLAlchemy nor httpx, so importing it is cheap.
"""

from importlib.metadata import PackageNotFoundError, version

import pluggy

__all__ = ["__version__", "hookimpl"]

try:
    __version__ = version("referral-gateway")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

hookimpl = pluggy.HookimplMarker("gateway")
"""Marks a function of a plugin module as the implementation of the hook of the same name."""
