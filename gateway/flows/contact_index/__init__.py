"""The contact index: contacts of vendors that cannot be searched by e-mail, and what signups learn from it."""
