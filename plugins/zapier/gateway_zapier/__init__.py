"""The Zapier integration: events shaped for Zaps, and the routes that the Zapier app calls."""
