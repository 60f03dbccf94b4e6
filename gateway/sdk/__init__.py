"""All that a plugin may import from the host: connection, auth, host, http, mapping, inbound, errors, clock."""
