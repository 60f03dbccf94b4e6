"""The published contract of the gateway: every Struct that crosses a boundary to someone else's code."""
