"""The built-in web console over the same flows as the API: templates, a little htmx, no second way to do a thing."""

from gateway.console.routes import router

__all__ = ["router"]
