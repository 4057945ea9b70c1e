"""Synthetic speech with phone times, and the corpus that is made of it."""
