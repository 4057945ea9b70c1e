"""Drawn portraits: people of code, for the shipped cast and for training."""

from pipelines.training.faces.cast import CAST
from pipelines.training.faces.params import FaceParams
from pipelines.training.faces.portrait import draw_portrait, person_matte
from pipelines.training.faces.sampling import random_params

__all__ = ["CAST", "FaceParams", "draw_portrait", "person_matte", "random_params"]
