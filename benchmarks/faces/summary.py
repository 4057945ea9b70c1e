"""What figures of many faces come to: shares that keep the bounds, medians, and the worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.faces.figures import Described, Figures
from benchmarks.faces.likeness import described_apart
from training.motion.articulation import CLOSED

WORST = 10


@dataclass(frozen=True)
class Bound:
    """A figure that must be at most, or at least, some number on a share of the photos."""

    figure: str
    most: float | None = None
    least: float | None = None
    share: float = 1.0
    share_of: tuple[tuple[str, float], ...] = ()  # other shares, by pipeline

    def met(self, value: float) -> bool:
        """Whether one photo keeps it."""
        below = self.most is None or value <= self.most
        return below and (self.least is None or value >= self.least)

    def wanted(self, pipeline: str) -> float:
        """The share of the photos that must keep it."""
        return dict(self.share_of).get(pipeline, self.share)


BOUNDS = (
    Bound("faces_lost", most=0.0),
    Bound("lids_range", most=0.35, share=0.95, share_of=(("anitalker", 0.85),)),
    Bound("gap_shut", most=CLOSED, share=0.95),
    Bound("gap_widest", least=0.07),
    Bound("teeth_kept", least=0.85),
    Bound("background_change", most=1.0),  # grey levels: what rounding and chroma planes leave
    Bound("shoulders_change", most=2.0),
    Bound("people_confused", most=0.0),
)
# Figures in which the worst are listed, and whether high or low ones are bad.
BAD: dict[str, str] = {
    "gap_shut": "high", "gap_widest": "low", "lids_range": "high", "lids_rest": "far",
    "teeth_kept": "low", "teeth_over_skin": "low", "colour_shift": "high",
    "mouth_chroma_gain": "high", "mouth_sharpness": "low", "cheek_sharpness": "low",
    "yaw_range": "low",
    "proportions_apart": "high", "look_apart": "high", "look_apart_turned": "high",
    "background_change": "high", "shoulders_change": "high",
    "flicker_background": "high", "flicker_shoulders": "high", "flicker_hair_edge": "high",
    "flicker_upper_face": "high",
}  # fmt: skip


def confuse(figures: Mapping[str, Figures], described: Mapping[str, Described]) -> None:
    """Add `people_confused`: how many of a face's looks are nearer to another's photo."""
    for name, own in described.items():
        others = [other.source for key, other in described.items() if key != name]
        figures[name]["people_confused"] = float(
            sum(
                min(described_apart(drawn, other) for other in others)
                < described_apart(drawn, own.source)
                for drawn in own.drawn.values()
            )
            if others
            else 0
        )


def summarise(pipeline: str, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """Shares of the photos that keep each bound, medians and tails, and the worst by figure."""
    names = sorted({name for row in figures.values() for name in row})
    columns = {name: _column(figures, name) for name in names}
    spread = {
        name: {
            "median": round(float(np.median(values)), 4),
            "p5": round(float(np.percentile(values, 5)), 4),
            "p95": round(float(np.percentile(values, 95)), 4),
            "photos": len(values),
        }
        for name, column in columns.items()
        if (values := list(column.values()))
    }
    bounds = {
        bound.figure: _shares(bound, pipeline, columns.get(bound.figure, {})) for bound in BOUNDS
    }
    worst = {name: _worst(columns[name], bad) for name, bad in BAD.items() if columns.get(name)}
    return {"photos": len(figures), "bounds": bounds, "spread": spread, "worst": worst}


def _column(figures: Mapping[str, Figures], name: str) -> dict[str, float]:
    return {photo: value for photo, row in figures.items() if (value := row.get(name)) is not None}


def _shares(bound: Bound, pipeline: str, column: Mapping[str, float]) -> dict[str, Any]:
    met = [bound.met(value) for value in column.values()]
    share = round(sum(met) / len(met), 3) if met else None
    wanted = bound.wanted(pipeline)
    text = f"<= {bound.most:g}" if bound.most is not None else f">= {bound.least:g}"
    kept = None if share is None else share >= wanted
    return {"bound": text, "share": share, "wanted": wanted, "photos": len(met), "kept": kept}


def _worst(column: Mapping[str, float], bad: str) -> list[list[Any]]:
    def badness(photo: str) -> tuple[float, str]:
        value = column[photo]
        return {"high": -value, "low": value, "far": -abs(value - 1.0)}[bad], photo

    return [[photo, column[photo]] for photo in sorted(column, key=badness)[:WORST]]


def table(pipeline: str, summary: Mapping[str, Any]) -> str:
    """The summary for a terminal."""
    lines = [f"{pipeline}, {summary['photos']} photos"]
    for name, row in summary["bounds"].items():
        share = "none" if row["share"] is None else f"{row['share']:.2f}"
        mark = "!" if row["kept"] is False else " "
        lines.append(
            f" {mark} {name:20s} {row['bound']:>9s} on {share} of {row['photos']:3d}, "
            f"wanted {row['wanted']:g}"
        )
    for name, row in summary["spread"].items():
        lines.append(f"   {name:22s} {row['median']:9.4f}  [{row['p5']:.4f}, {row['p95']:.4f}]")
    for name, worst in summary["worst"].items():
        lines.append(f"   worst {name}: " + ", ".join(f"{p} {v:.3g}" for p, v in worst[:5]))
    return "\n".join(lines)
