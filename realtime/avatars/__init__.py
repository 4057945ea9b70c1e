"""The faces a server offers: what is kept of them, and what pipelines make of it."""
