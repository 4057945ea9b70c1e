"""What a stream asks of whatever gives it sound: a microphone, pushed speech, a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from realtime.media import Hop


@dataclass(frozen=True)
class Playback:
    """An utterance began to be heard, was heard to its end, or was cut short."""

    kind: Literal["started", "stopped", "cleared"]
    played_ms: int
    """Of the utterance; of a microphone, which has no utterances, of the whole session."""
    utterance: str = field(default="", compare=False)
    """Its id; empty where there are none, or none was heard or waited."""


class Source(Protocol):
    """Sound on a media timeline that begins at local time `t0`. Sans I/O: `now` is an argument."""

    on_ready: Callable[[], None]
    """Called when `pull` has a hop before `next_deadline`."""

    @property
    def live(self) -> bool:
        """Its time is everybody's: what comes too late is left out. Otherwise whoever listens sets
        the pace, and nothing is left out."""

    @property
    def latency_s(self) -> float:
        """A hop is there at most this long after the time of its first sample."""

    @property
    def end(self) -> int | None:
        """Position where the sound ends, a multiple of 640, once it is known. Hops of silence
        follow as long as they are asked for: they draw the frames that the look-ahead holds back.
        """

    @property
    def t0(self) -> float:
        """Local time of media time 0; may move by less than a hop once sound comes in."""

    def start(self, now: float) -> None:
        """Media time begins at local time `now`."""

    def pull(self, now: float) -> Sequence[Hop]:
        """The hops that are there, or may wait no longer, in order and without a gap; at most one
        of a source that is not live."""

    def next_deadline(self) -> float:
        """Local time at which `pull` has a hop at the latest."""

    def played(self, position: int) -> Sequence[Playback]:
        """Viewers heard everything before `position`; what that began or ended."""

    def clear(self) -> Playback:
        """Forget what was not played yet (barge-in)."""


@runtime_checkable
class Patient(Protocol):
    """A source that waits for what may come late."""

    @property
    def patience_s(self) -> float:
        """How much of its `latency_s` passes only when something does come late."""


@runtime_checkable
class Foresees(Protocol):
    """A source that may have sound long before its time."""

    def take_back(self, played: int, most: int, now: float) -> int:
        """Take back silence that was given and not played, so that what is there is heard sooner.

        played: viewers heard everything before it.
        most: samples that are of use.

        Returns whole hops of samples, by which the next hop starts earlier; mostly 0.
        """
