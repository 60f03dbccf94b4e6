"""The ServiceTitan integration of the referral gateway."""
