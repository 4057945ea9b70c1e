"""The running server seen by its clients: latency, sessions, bad networks."""
