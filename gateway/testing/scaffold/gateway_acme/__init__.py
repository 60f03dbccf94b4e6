"""Acme for the referral integration gateway."""
