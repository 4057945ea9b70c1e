"""Slots, the step loop and the inference process behind it."""
