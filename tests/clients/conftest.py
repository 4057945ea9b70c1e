"""Clients of others against a running server. `make test-clients` makes their environments, one
for each as they exclude each other, and runs this folder; `make test` leaves it out."""
