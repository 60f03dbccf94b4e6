"""Shipped to plugin authors: fake host and test helpers."""
