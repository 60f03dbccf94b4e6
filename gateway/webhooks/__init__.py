"""Outgoing webhooks: how a message is signed, and which targets may be reached."""
