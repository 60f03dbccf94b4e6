"""People as others see them, and what tells others that they changed: ``people``, ``status``, ``ledger``, ``erase``."""
