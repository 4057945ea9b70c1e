"""Generators of training and test material, losses, training commands. Imported by nothing above."""
