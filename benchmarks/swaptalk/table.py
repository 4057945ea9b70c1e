"""The table as markdown: a line per method, as the paper has it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.swaptalk.measured import Figures

COLUMNS = {  # title: figure, how it is written
    "r": ("r", "{:.3f}"),
    "closures": ("closures", "{:.0%}"),
    "expert": ("expert", "{:.3f}"),
    "above others": ("expert_more", "{:+.3f}"),
    "SSIM": ("ssim", "{:.3f}"),
    "LMD": ("lmd", "{:.2f}"),
    "CPBD": ("cpbd", "{:.3f}"),
    "distance": ("distance", "{:.3f}"),
    "retrieved": ("retrieved", "{:.1f}"),
    "consistency": ("consistency", "{:.1f}"),
    "likeness": ("likeness", "{:.1f}"),
    "lost": ("lost", "{:.1%}"),
}


def table(rows: Mapping[str, Mapping[str, Figures]]) -> str:
    """Of settings, of methods; what was not measured is a dash."""
    lines = [
        "| setting | method | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---:|" * len(COLUMNS),
    ]
    for setting, methods in rows.items():
        for method, figures in methods.items():
            cells = (_cell(figures.get(key), how) for key, how in COLUMNS.values())
            lines.append(f"| {setting} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def flicker_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Of what was drawn: jitter in and outside the mouth, grey levels of 255."""
    lines = ["| drawn | mouth | outside |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {row['mouth']:.2f} | {row['outside']:.2f} |" for name, row in rows.items()
    ]
    return "\n".join(lines)


def _cell(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)
