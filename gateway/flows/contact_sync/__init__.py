"""Contact sync: every contact of the CRM becomes a referrer with a link, and the CRM shows it."""
