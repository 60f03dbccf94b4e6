"""Something changes in the CRM: heard in ``inbound``, ``feeds`` and ``sweep``, judged in ``qualification``."""
