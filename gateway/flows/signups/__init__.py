"""A signup goes into the CRM: accepted in ``signup``, pushed in ``push``, held in ``held``."""
