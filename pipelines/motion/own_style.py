"""Fits how one person speaks to a curve of their lips and its sound: style and linear read-out.

    sound -> what the network hears [T, H] -> the parting of the lips that it would show [T]
    curve of the gap -> the parting of the person's lips [T], at the level and spread of ours

People part their lips less than our range, which stays: the person's curve is brought to it. What
then differs is explained by the style numbers (least squares on the network, kept near 0 as people
are) or, where a clip is long enough to tell, by a ridge regression on what is heard. Which does
better, with which penalty, and whether it is more than chance, is asked of the clip itself: in
blocks that were not fitted to. What does not hold there is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.motion.diffusion import DiffusionMotion
from pipelines.motion.listening import Heard, Lips, listen
from pipelines.motion.reading import parting_of
from pipelines.motion.ridge import Ridge, Solver
from pipelines.motion.style import STYLE, STYLE_DIM, STYLE_LIMIT, OwnStyle
from pipelines.pipeline import FPS, HOP_SAMPLES, Progress

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

NO_STYLE = OwnStyle(np.zeros(STYLE_DIM, np.float32))
LEAST_S = 4.0  # of lips seen while something is said

_VOICED = 0.5  # of the gate
_AROUND = FPS // 2  # frames before and after a voice whose lips belong to what is said
_OUTLIERS = 0.02  # share of a curve at either end that does not count for level and spread
_MOST_LAG = 5  # frames by which sound and picture of a video may be apart
_LEAST_LAG = 2  # below that it is the person's way of speaking
_LAG_GAIN = 0.05  # that moving the one must bring, as r

_TOLD = [STYLE.index(name) for name in ("rest", "plateau", "consonants")]  # by the gap
_STEP = 0.25  # of style numbers, to differentiate by
_ROUNDS = 3  # of least squares
_KIN = 5.0  # frames that say as much as one: neighbours are alike

_PENALTIES = (
    30.0,
    100.0,
    300.0,
    1_000.0,
    3_000.0,
    10_000.0,
)  # in frames, of features of unit deviation
_MOST_SPREAD = 1.6  # regression leaves less spread than there was: how much may be made up for
_ODDS = (-4.0, 2.0)  # beyond these the network is sure that lips part, or meet, and is left so
_SHUT_ODDS, _APART_ODDS = 0.8, -2.5  # of lips that do; what counts in `lip_closure` lies between
_MET = 0.12  # share of the way from a gap that is shut to a wide one up to which lips are

_BLOCKS = 5
_SURE = 1.53  # standard errors that a gain must have: Student's t of 5 blocks at 90 %
_WORTH = 0.01  # and how large it must be, as r
_BELONGS = 0.35  # r of lips that go with the sound at all; less is a dubbed video


@dataclass(frozen=True)
class Fitted:
    """What was learnt.

    seconds: of speech with the lips in view.
    before, after: r of our lips with the person's, as the average speaker's and with the style, in
        blocks that were not fitted to; NaN where there was too little to tell.
    lag: frames by which the sound came later than the picture, and was moved; 0 if in doubt.
    """

    style: OwnStyle
    seconds: float
    before: float = float("nan")
    after: float = float("nan")
    lag: int = 0

    @property
    def learnt(self) -> bool:
        """Whether the style is one at all."""
        return bool(self.style.style.any()) or self.style.readout is not None

    def describe(self) -> str:
        """For the user, in a sentence."""
        if np.isnan(self.before):
            return (
                f"Only {self.seconds:.0f} s of speech with the lips in view were found, which is "
                f"too little to learn from (at least {LEAST_S:.0f} s): the lips move as the "
                "average person's."
            )
        if not self.learnt:
            return (
                f"In {self.seconds:.0f} s of speech nothing was found that makes the lips more "
                "like the person's: they move as the average person's."
            )
        return (
            f"How the lips move was learnt from {self.seconds:.0f} s of speech: their likeness to "
            f"the person's rose from {self.before:.2f} to {self.after:.2f} (of 1)."
        )


def fit(
    gap: NDArray[np.float32],
    samples: NDArray[np.float32],
    motion: DiffusionMotion,
    progress: Progress,
) -> Fitted:
    """Fit a style.

    Args:
        gap: float32 [T], inner lips over face height at 25 fps, NaN where it was not read.
        samples: float32 [T * 640] at 16 kHz, of the same time.
        motion: the network that the style is for.

    Raises:
        ValueError: the curve and the sound are not of one length.
        EnrolmentCancelled: as `progress` said.
    """
    if len(samples) != len(gap) * HOP_SAMPLES:
        raise ValueError(f"{len(gap)} frames need {len(gap) * HOP_SAMPLES} samples: {len(samples)}")
    stage = "learning how the lips move"
    heard = listen(samples, motion, lambda share: progress(0.5 * share, stage))
    return fit_heard(gap, heard, motion, lambda share: progress(0.5 + 0.5 * share, stage))


def fit_heard(
    gap: NDArray[np.float32],
    heard: Heard,
    motion: DiffusionMotion,
    told: Callable[[float], None] = lambda share: None,
) -> Fitted:
    """`fit`, of a sound that was heard already; `told` is given the share of the work."""
    lag = _lag(gap, heard, motion)
    gap = _moved(gap, lag)
    seconds = float((np.isfinite(gap) & (heard.gate > _VOICED)).sum()) / FPS
    if seconds < LEAST_S:
        return Fitted(NO_STYLE, seconds, lag=lag)
    fitting = _Fitting(motion, heard, gap)
    return fitting.best(seconds, lag, told)


class _Fitting:
    """One clip: its lips as the network would show them, and as they were."""

    def __init__(self, motion: DiffusionMotion, heard: Heard, gap: NDArray[np.float32]) -> None:
        self._lips = Lips(motion, heard)
        self._ridge = Ridge(heard.recent, heard.gate)
        self._person = parting_of(gap)
        self._known = np.isfinite(gap) & _near(heard)
        self._average = self._lips.parting(NO_STYLE.style)
        self._meant = _meant_to_meet(gap, self._known)

    def best(self, seconds: float, lag: int, told: Callable[[float], None]) -> Fitted:
        """What does best in blocks it was not fitted to, fitted to all of them; no style if nothing
        does better than the average speaker's."""
        blocks = self._blocks()
        choices: tuple[float | None, ...] = (None, *_PENALTIES)
        average = self._lips.shown(NO_STYLE)
        r = np.zeros((1 + len(choices), _BLOCKS))  # the first row: without a style
        for n, block in enumerate(blocks):
            told(n / (_BLOCKS + 1))
            person, others = self._person[block], self._known & ~block
            r[0, n] = _correlation(average[block], person)
            for k, penalty in enumerate(choices, 1):
                shown = self._lips.shown(self._fitted(penalty, others))
                r[k, n] = _correlation(shown[block], person)
        gain, mean = r - r[0], r.mean(1)
        needed = np.maximum(_SURE * gain.std(1, ddof=1) / np.sqrt(_BLOCKS), _WORTH)
        sure = (gain.mean(1) >= needed) & (mean >= _BELONGS)
        before = float(mean[0])
        if not sure.any():
            return Fitted(NO_STYLE, seconds, before, before, lag)
        chosen = int(np.where(sure, mean, -np.inf).argmax())
        style = self._fitted(choices[chosen - 1], self._known)
        return Fitted(style, seconds, before, float(mean[chosen]), lag)

    def _blocks(self) -> list[Rows]:
        """The known frames cut into stretches of one length, each as a mask of all frames."""
        number = (np.cumsum(self._known) - 1) * _BLOCKS // int(self._known.sum())
        return [self._known & (number == n) for n in range(_BLOCKS)]

    def _fitted(self, penalty: float | None, rows: Rows) -> OwnStyle:
        """Style numbers alone (None), or a read-out alone."""
        if penalty is None:
            return OwnStyle(self._style(rows).astype(np.float32))
        solve = self._ridge.solver(penalty, rows)
        both = np.stack([self._parting(solve, rows), self._meeting(solve, rows)])
        return OwnStyle(NO_STYLE.style, both.astype(np.float32))

    def _style(self, rows: Rows) -> Array:
        """Style numbers [STYLE_DIM] that make the network's lips most like the person's in `rows`,
        whatever their level and spread (Gauss-Newton)."""
        person = self._person[rows]
        style = np.zeros(STYLE_DIM)
        for _ in range(_ROUNDS):
            shown = self._lips.parting(style)[rows]
            slopes = [self._lips.slope(style, number, _STEP)[rows] for number in _TOLD]
            scale, level = np.polyfit(shown, person, 1)
            rest = person - scale * shown - level
            columns = np.stack([*(scale * slope for slope in slopes), shown, np.ones_like(shown)])
            certain = 1.0 / (_KIN * max(float(rest.var()), 1e-9))
            prior = np.array([*(1.0 for _ in _TOLD), 0.0, 0.0])
            told = columns @ columns.T * certain + np.diag(prior)
            pull = columns @ rest * certain - prior * np.array([*style[_TOLD], 0.0, 0.0])
            style[_TOLD] += np.linalg.solve(told, pull)[: len(_TOLD)]
            style = style.clip(-STYLE_LIMIT, STYLE_LIMIT)
        return style

    def _parting(self, solve: Solver, rows: Rows) -> Array:
        """What parts the average speaker's lips as the person's part in `rows`."""
        average = self._average[rows]
        person = _brought_to(self._person[rows], average)
        # The regression of the difference is that of the one less that of the other, and may leave
        # lips that move less; the person's share is taken larger until they move as before.
        level = float(person.mean())
        of_swing, of_level, of_average = map(solve, (person - level, 0.0 * person + level, average))
        left = average - self._lips.read(of_average - of_level)[rows]
        more = _share_for(left, self._lips.read(of_swing)[rows], float(average.std()))
        return more * of_swing + of_level - of_average

    def _meeting(self, solve: Solver, rows: Rows) -> Array:
        """What makes the average speaker's lips meet where the person's do in `rows`."""
        return solve((self._meant - self._lips.meeting.clip(*_ODDS))[rows])


def _meant_to_meet(gap: NDArray[np.float32], known: Rows) -> Array:
    """The log odds that lips with this gap meet, as they are to be, [T]."""
    low, high = np.quantile(gap[known], (_OUTLIERS, 0.9))
    return np.where(gap < low + _MET * (high - low), _SHUT_ODDS, _APART_ODDS)


def _share_for(left: Array, swing: Array, spread: float) -> float:
    """The factor of `swing`, 1 or more, at which `left` and it together have this spread."""
    a = float(swing.var())
    b = float(np.mean((left - left.mean()) * (swing - swing.mean())))
    c = float(left.var()) - spread**2
    if a < 1e-12:
        return 1.0
    root = np.sqrt(max(b * b - a * c, 0.0))
    return float(np.clip((root - b) / a, 1.0, _MOST_SPREAD))


def _brought_to(own: Array, ours: Array) -> Array:
    """`own` at the level and spread of `ours`."""
    kept, wanted = (np.clip(x, *np.quantile(x, (_OUTLIERS, 1.0 - _OUTLIERS))) for x in (own, ours))
    scale = float(wanted.std()) / max(float(kept.std()), 1e-6)
    return np.asarray((own - kept.mean()) * scale + wanted.mean())


def _lag(gap: NDArray[np.float32], heard: Heard, motion: DiffusionMotion) -> int:
    """Frames by which the sound of a video is later than its picture, judged by the lips that the
    network would show; 0 where it is as little as people differ by."""
    shown, near = Lips(motion, heard).parting(np.zeros(STYLE_DIM)), _near(heard)
    found = []
    for lag in range(-_MOST_LAG, _MOST_LAG + 1):
        moved = _moved(gap, lag)
        known = np.isfinite(moved) & near
        enough = known.sum() > LEAST_S * FPS
        found.append(_correlation(shown[known], parting_of(moved[known])) if enough else 0.0)
    lag = int(np.argmax(found)) - _MOST_LAG
    sure = max(found) > max(found[_MOST_LAG] + _LAG_GAIN, _BELONGS)
    return lag if sure and abs(lag) >= _LEAST_LAG else 0


def _moved(gap: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """The curve, so many frames later."""
    moved = np.full_like(gap, np.nan)
    moved[max(lag, 0) : len(gap) + min(lag, 0)] = gap[max(-lag, 0) : len(gap) - max(lag, 0)]
    return moved


def _near(heard: Heard) -> Rows:
    """Frames with a voice within `_AROUND`."""
    window = np.ones(2 * _AROUND + 1)
    return np.asarray(np.convolve(heard.gate > _VOICED, window, "same") > 0)


def _correlation(a: Array, b: Array) -> float:
    """Pearson r; 0 where either does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0
