"""What an avatar is, and what is kept of an uploaded one: its files and a record that names them.

    avatars/ID.json         the record; an upload without one was never acknowledged
    avatars/ID.jpg          its photo, re-encoded and without metadata
    avatars/ID.mp4, ...     its video, as it was sent
    avatars/ID.source.jpg   the face to put into it
    avatars/ID.learnt       what was learnt from a video that is not kept, see `pipelines.learnt`

Records of all releases are read: the first kept the features of one photo only ("key"), later ones
its photo and the keys of all features made of it ("keys"), today's name all files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from PIL import Image

from pipelines.identity import IdentityStore
from pipelines.photo.errors import EnrolmentError
from pipelines.photo.headers import sniff as sniff_photo
from pipelines.photo.video.sniff import HEAD_BYTES, VideoType, sniff
from pipelines.pipeline import Material
from realtime.errors import AvatarRejected
from realtime.storage import write_durably

_SUFFIXES: dict[VideoType, str] = {"mp4": ".mp4", "matroska": ".webm", "avi": ".avi"}
_KINDS = ("photo", "video", "source", "learnt")
State = Literal["uploading", "enrolling", "ready", "failed"]
"""Of an upload: not acknowledged yet, acknowledged, usable, not usable."""


@dataclass(frozen=True)
class Avatar:
    """One face that a session can have."""

    id: str
    name: str
    kind: Literal["cast", "upload"]
    material: Material


def kinds_of(material: Material) -> frozenset[str]:
    """Which of "photo", "video", "source" it is made of."""
    named = (("photo", material.photo), ("video", material.video), ("source", material.source))
    return frozenset(kind for kind, path in named if path is not None)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of an upload.

    keys: of all features that were ever made of it, so that deleting it deletes them too.
    owner: the name of the key that it belongs to; empty: everybody may use it.
    made: UTC, ISO 8601, to the second; empty where that was not kept.
    pipeline: that it was made for; empty where that was not kept.
    state, code, message: of the upload; the last two say why its first enrolment failed.
    """

    name: str
    material: Material
    keys: tuple[str, ...] = ()
    owner: str = ""
    made: str = ""
    pipeline: str = ""
    state: State = "ready"
    code: str = ""
    message: str = ""
    advice: tuple[dict[str, str], ...] = ()
    """What would make it better: `{"code", "message"}` each, the gravest first."""
    note: str = ""
    """What was learnt from a video that is not kept, in a sentence for the user."""

    @property
    def files(self) -> dict[str, Path]:
        """Its files, by what they are."""
        held = self.material
        files = {"photo": held.photo, "video": held.video, "source": held.source}
        return {
            kind: file
            for kind, file in (files | {"learnt": held.learnt}).items()
            if file is not None
        }


def write_record(path: Path, record: Record) -> None:
    """Keep `record` as the file `path`."""
    fields: dict[str, Any] = {
        "name": record.name,
        "keys": list(record.keys),
        "files": {kind: file.name for kind, file in record.files.items()},
        "consent": record.material.consent,
        "owner": record.owner,
        "made": record.made,
        "pipeline": record.pipeline,
        "state": record.state,
    }
    if record.advice:
        fields["advice"] = list(record.advice)
    if record.note:
        fields["note"] = record.note
    if record.state == "failed":
        fields |= {"code": record.code, "message": record.message}
    write_durably(path, json.dumps(fields).encode())


def read_record(path: Path, store: IdentityStore) -> Record:
    """The record at `path`.

    Raises:
        ValueError: it is damaged, or its files are gone.
    """
    try:
        fields = json.loads(path.read_bytes())
        keys = [str(key) for key in fields.get("keys", [])]
        if "key" in fields:
            keys.append(str(fields["key"]))
        files = {kind: path.parent / Path(str(name)).name for kind, name in _files(path, fields)}
        if "key" in fields and not files["photo"].exists():
            _photo_of_features(store, keys[-1], files["photo"])
        missing = [file.name for file in files.values() if not file.is_file()]
        if missing:
            raise ValueError(f"its file {missing[0]} is gone")
        return Record(
            name=str(fields["name"]),
            material=Material(**files, consent=str(fields.get("consent", ""))),
            keys=tuple(keys),
            owner=str(fields.get("owner", "")),
            made=_time(fields.get("made", "")),
            pipeline=str(fields.get("pipeline", "")),
            state=fields["state"] if fields.get("state") in get_args(State) else "ready",
            code=str(fields.get("code", "")),
            message=str(fields.get("message", "")),
            advice=tuple(
                {"code": str(each["code"]), "message": str(each["message"])}
                for each in fields.get("advice", [])
            ),
            note=str(fields.get("note", "")),
        )
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _time(value: Any) -> str:
    """A time as it was kept; "" if it is none."""
    try:
        return value if value and datetime.fromisoformat(value).tzinfo else ""
    except (TypeError, ValueError):
        return ""


def _files(path: Path, fields: Any) -> Iterable[tuple[str, str]]:
    files = fields.get("files", {"photo": path.with_suffix(".jpg").name})
    known = {kind: files[kind] for kind in _KINDS if kind in files}
    return known.items()


def _photo_of_features(store: IdentityStore, key: str, photo: Path) -> None:
    """Take over an upload of which only the features were kept."""
    picture = io.BytesIO()
    Image.fromarray(store.load(key).preview).save(picture, "JPEG", quality=95, subsampling=0)
    write_durably(photo, picture.getvalue())


def check_photo(photo: BinaryIO) -> None:
    """Refuse what is no photo by its first bytes, before a process is started for it.

    Raises:
        AvatarRejected: it is none that is taken.
    """
    photo.seek(0)
    try:
        sniff_photo(photo.read(64))
    except EnrolmentError as error:
        raise AvatarRejected(str(error), error.code) from error
    photo.seek(0)


def sniff_video(video: BinaryIO) -> str:
    """The suffix of a video by its first bytes, whatever name or content type it came with.

    Raises:
        AvatarRejected: it is none that is taken.
    """
    video.seek(0)
    try:
        kind = sniff(video.read(HEAD_BYTES))
    except EnrolmentError as error:
        raise AvatarRejected(str(error), error.code) from error
    return _SUFFIXES[kind]
