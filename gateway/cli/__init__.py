"""The ``gateway`` command: each subcommand in a module of its own, joined here."""
