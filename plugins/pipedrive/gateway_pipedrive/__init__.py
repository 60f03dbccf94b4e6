"""The Pipedrive integration of the referral gateway."""
