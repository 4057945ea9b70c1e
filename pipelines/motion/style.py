"""How one person speaks: a few numbers that the sound does not tell, and what they are kept as.

Within one speaker real lips are predictable to 0.83-0.88 from the sound, across speakers to 0.7:
the rest is a style of one's own. Here it is four numbers, each a deviation from the average speaker
in units of the deviation between speakers, 0 for the average and rarely beyond -2..2, and a linear
read-out of what the network hears, for who was enrolled with a video of themselves speaking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.identity import Arrays

STYLE: tuple[str, ...] = (
    "rest",  # how far the lips part while nothing is said
    "plateau",  # how wide they part while vowels are said
    "consonants",  # how much of that consonants leave, those apart that need the lips
    "width",  # how much spread and rounded sounds differ
)
STYLE_DIM = len(STYLE)
STYLE_LIMIT = 2.5  # of each number, either way
RECENT = 3  # frames whose hearing a read-out weighs: the one shown and those before it


@dataclass(frozen=True)
class OwnStyle:
    """Of one avatar.

    style: float32 [STYLE_DIM].
    readout: float32 [2, RECENT * heard + 1], what is added while there is a voice to the parting of
        the lips (jawOpen) and to the log odds that they meet, per unit of what the network heard,
        the oldest frame first, the constant last; None for nothing.
    """

    style: NDArray[np.float32]
    readout: NDArray[np.float32] | None = None

    def arrays(self) -> Arrays:
        """For `IdentityFeatures.arrays`."""
        found: Arrays = {"style": self.style}
        return found if self.readout is None else found | {"style_readout": self.readout}

    @classmethod
    def of(cls, arrays: Arrays) -> OwnStyle | None:
        """What the avatar was enrolled with, if anything."""
        style = arrays.get("style")
        return None if style is None else cls(style, arrays.get("style_readout"))
