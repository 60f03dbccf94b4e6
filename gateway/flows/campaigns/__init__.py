"""Campaigns and how an integration is used for them: ``campaign``, ``setup``, ``preview``, ``attention``."""
