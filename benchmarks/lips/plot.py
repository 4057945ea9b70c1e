"""The sweep as a picture: each measure against look-ahead, a line per network and step count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_FRAME_MS = 40

# key: (title, what is wanted, whether that is a least)
_PANELS: dict[str, tuple[str, float, bool]] = {
    "r": ("correlation with the reference, r", 0.8, True),
    "closures": ("closures of p, b, m", 0.9, True),
    "stillness": ("gap sd in silence over that in speech", 0.1, False),
    "ms_per_frame": ("cost per frame, ms on one core", 8.0, False),
}
# Okabe and Ito's colours, told apart by everyone; markers differ as well.
_STYLES: dict[tuple[str, int], tuple[str, str]] = {
    ("velocity", 1): ("#56B4E9", "o"),
    ("velocity", 2): ("#0072B2", "s"),
    ("velocity", 4): ("#009E73", "^"),
    ("velocity", 8): ("#000000", "D"),
    ("distil", 1): ("#D55E00", "*"),
    ("epsilon", 8): ("#CC79A7", "v"),
    ("regression", 1): ("#E69F00", "x"),
}


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the picture of `benchmarks.lips.models` rows that have a look-ahead."""
    figure = Figure(figsize=(11.0, 7.5), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for axes, (key, (title, wanted, least)) in zip(panels, _PANELS.items(), strict=True):
        for network, passes in lines(rows):
            _line(axes, rows, key, network, passes)
        axes.axhline(wanted, color="#777777", linestyle="--", linewidth=1.0)
        axes.annotate(
            f"wanted: {'at least' if least else 'at most'} {wanted:g}",
            (0.99, wanted), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", color="#555555", fontsize=8,
        )  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("look-ahead, ms")
        axes.set_xticks(sorted({_ms(row) for row in rows}))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if key != "r" and key != "closures":
            axes.set_ylim(bottom=0.0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)


def lines(rows: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """(network, passes) of each line, in order of appearance."""
    return list(dict.fromkeys((row["network"], row["passes"]) for row in rows))


def _line(axes: Axes, rows: Sequence[dict[str, Any]], key: str, network: str, passes: int) -> None:
    points = sorted(
        (_ms(row), row[key])
        for row in rows
        if (row["network"], row["passes"]) == (network, passes) and row[key] is not None
    )
    colour, marker = _STYLES.get((network, passes), ("#777777", "."))
    label = f"{network}, {passes} pass{'es' * (passes > 1)}"
    x, y = [p[0] for p in points], [p[1] for p in points]
    axes.plot(x, y, color=colour, marker=marker, label=label, linewidth=1.5)


def _ms(row: dict[str, Any]) -> int:
    return int(row["look_ahead_frames"]) * _FRAME_MS
