"""Opens the gates of the pipeline in `gated_pipeline`."""

from __future__ import annotations

from pathlib import Path

STAGES = 4
VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(200)
"""What passes for an MP4 by its first bytes; the gated pipeline looks no further."""


class Gate:
    """What lets the enrolments of one test go on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def open(self, *stages: int) -> None:
        """Let these stages begin; all of them if none is named."""
        for stage in stages or range(STAGES):
            (self.folder / str(stage)).touch()

    def set_fate(self, fate: str) -> None:
        """Have the last stage "crash", "refuse", "stall" or, once, "break"; "": none of these."""
        (self.folder / "fate").write_text(fate)

    @property
    def done(self) -> list[int]:
        """The stages carried out, in order."""
        log = self.folder / "log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []
