"""The published contract of the gateway: every Struct that crosses a boundary to someone else's code."""

import importlib
import pkgutil

import msgspec

__all__ = ["by_module"]


def by_module() -> dict[str, list[type[msgspec.Struct]]]:
    """Return the Structs of the contract by the module that defines them."""
    found: dict[str, list[type[msgspec.Struct]]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        structs = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
        ]
        if structs:
            found[info.name] = structs
    return found
