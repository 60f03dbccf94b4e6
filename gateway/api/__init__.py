"""The HTTP API, thin: decode, call a flow or a read, encode."""
