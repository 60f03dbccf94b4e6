"""What a qualified referral owes: ``sales`` and ``rewards``."""
