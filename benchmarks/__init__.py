"""Measurements. Every figure in the README comes from a script here."""
