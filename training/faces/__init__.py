"""Drawn portraits: people of code, for the shipped cast and for training."""

from training.faces.cast import CAST
from training.faces.params import FaceParams
from training.faces.portrait import draw_portrait, person_matte
from training.faces.sampling import random_params

__all__ = ["CAST", "FaceParams", "draw_portrait", "person_matte", "random_params"]
