"""Generators of training and test material, losses, training commands. Nothing imports them."""
