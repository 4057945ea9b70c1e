"""Who may do what: keys, tokens, tickets, the table of calls, limits and the audit log."""
