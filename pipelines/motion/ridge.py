"""Linear regression with a penalty (Hoerl and Kennard 1970), silent where a gate is shut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Solver = Callable[[Array], Array]
"""Values to weights."""


class Ridge:
    """rows: [T, D] to regress on; gate: [T], 0 to 1, what the regression is multiplied by."""

    def __init__(self, rows: Array, gate: Array) -> None:
        share = gate / max(float(gate.sum()), 1e-9)
        self._middle = share @ rows
        self._spread = np.maximum(np.sqrt(share @ np.square(rows - self._middle)), 1e-6)
        unit = (rows - self._middle) / self._spread
        self._rows = np.concatenate([unit, np.ones((len(rows), 1))], 1) * gate[:, None]

    def solver(self, penalty: float, chosen: NDArray[np.bool_]) -> Solver:
        """From values of the chosen rows to weights [D + 1], the constant last; linear in them.

        penalty: of a weight, in rows; the constant has none.
        """
        held = self._rows[chosen]
        told = held.T @ held
        told[np.arange(len(told) - 1), np.arange(len(told) - 1)] += penalty
        inverse = np.linalg.inv(told)

        def solve(values: Array) -> Array:
            weights = inverse @ (held.T @ values)
            own = weights[:-1] / self._spread
            return np.append(own, weights[-1] - own @ self._middle)

        return solve
