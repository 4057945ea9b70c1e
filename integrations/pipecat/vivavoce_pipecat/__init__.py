"""A vivavoce avatar as a video service of Pipecat."""

from vivavoce_pipecat.video import VivavoceVideoService

__all__ = ["VivavoceVideoService"]
