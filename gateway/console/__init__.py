"""The built-in web console over the same flows."""
