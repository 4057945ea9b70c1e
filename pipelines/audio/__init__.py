"""Hops of sound to features."""
