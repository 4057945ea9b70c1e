"""What a kernel has to move and to compute at least, and how long a card needs for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Card:
    """What a card can do, by its datasheet."""

    name: str
    bytes_per_s: float
    float32_per_s: float  # floating-point operations, outside the matrix units
    matrix_per_s: float  # in the matrix units: bfloat16 in, float32 sums, dense


H100 = Card("H100", 3.35e12, 67e12, 990e12)
H200 = Card("H200", 4.8e12, 67e12, 990e12)


@dataclass(frozen=True)
class Work:
    """Of one launch: bytes read once and written once, operations, and the units that do them."""

    bytes: int
    flops: int
    unit: Literal["float32", "matrix"] = "float32"

    def least_s(self, card: Card) -> float:
        """Seconds that `card` needs at least: no launch is faster."""
        rate = card.float32_per_s if self.unit == "float32" else card.matrix_per_s
        return max(self.bytes / card.bytes_per_s, self.flops / rate)
