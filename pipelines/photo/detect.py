"""Finds the face mesh and the person in a photo with MediaPipe, an optional extra."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.photo.decode import Image8
from pipelines.photo.errors import EnrolmentError

Points = npt.NDArray[np.float32]

MIN_FACE_PX = 64  # forehead to chin, in the photo
MAX_YAW_DEG = 35.0
MAX_PITCH_DEG = 30.0
EXTRA_FACE_SHARE = 1 / 3  # smaller ones in the background are ignored
DETECT_SIDE = 960  # pixels, long side of what the detector sees
_FINE_SIDE = 640  # pixels, side of the crop for the second, exact look
_FINE_CROP = 2.0  # its side in face heights
LEVEL_PITCH_DEG = 12.0  # a chin lies behind the forehead in a level face
PERSON_SCORE = 0.7  # of the detector, for a second mesh to count as somebody
PERSON_AGREES = 0.22  # face heights between a mesh and that of the mirrored picture
_MIDLINE = (10, 152, 1, 13)  # forehead, chin, nose, lips: the mirror maps each to itself
_FOREHEAD, _CHIN, _CHEEK_RIGHT, _CHEEK_LEFT = 10, 152, 234, 454


_UNUSED = (
    "mediapipe.python.solutions.drawing_styles",
    "mediapipe.python.solutions.drawing_utils",
    "mediapipe.tasks",
    "mediapipe.tasks.python",
)
"""What MediaPipe imports and we never use: with them (Matplotlib, sounddevice) importing it takes
four times as long."""


@dataclass(frozen=True)
class FaceMesh:
    """478 points in photo pixels, float32 [478, 3]: x right, y down, z away, on the same scale."""

    points: Points

    @property
    def height(self) -> float:
        """Forehead to chin in the picture plane, in pixels."""
        return float(np.linalg.norm(self.points[_FOREHEAD, :2] - self.points[_CHIN, :2]))

    @property
    def yaw_deg(self) -> float:
        """Turn about the vertical; 0 is frontal."""
        x, _, z = self.points[_CHEEK_LEFT] - self.points[_CHEEK_RIGHT]
        return math.degrees(math.atan2(float(z), float(x)))

    @property
    def pitch_deg(self) -> float:
        """Nod; 0 is frontal, by the line from forehead to chin."""
        _, y, z = self.points[_CHIN] - self.points[_FOREHEAD]
        return math.degrees(math.atan2(float(z), float(y))) - LEVEL_PITCH_DEG


@cache
def mediapipe_package() -> Any:
    """MediaPipe; ImportError says how to install it."""
    try:
        with _without(_UNUSED):
            import mediapipe
    except ImportError as error:
        raise ImportError(
            "turning a photo into an avatar needs MediaPipe: pip install 'vivavoce[enrol]'"
        ) from error
    return mediapipe


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports find empty modules in place of those that are not there yet."""
    left_out = [name for name in names if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in left_out})
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


@cache
def _mesher(most: int) -> Any:
    """The mesh network for so many faces, loaded once."""
    return mediapipe_package().solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=most,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )


@cache
def _detector(far: bool) -> Any:
    """The detector of faces within two metres, or within five, loaded once."""
    return mediapipe_package().solutions.face_detection.FaceDetection(
        model_selection=int(far), min_detection_confidence=0.4
    )


def find_face(photo: Image8) -> FaceMesh:
    """Return the mesh of the one face in `photo` (uint8 [H, W, 3]) or say why there is none."""
    faces = find_meshes(photo, most=4) or _far_meshes(photo) or _tile_meshes(photo)
    if not faces:
        raise EnrolmentError(
            "no_face",
            "No face was found. Use a photo of one person looking at the camera, well lit, with "
            "the whole face visible.",
        )
    faces.sort(key=lambda face: -face.height)
    large = [face for face in faces if face.height > EXTRA_FACE_SHARE * faces[0].height]
    if len(large) > 1:
        large = [face for face in large if _is_person(photo, face)] or large[:1]
    if len(large) > 1:
        raise EnrolmentError(
            "several_faces",
            f"{len(large)} faces were found. Use a photo of one person, or crop it to one.",
        )
    main = large[0]
    main = _look_closer(photo, main)
    if main.height < MIN_FACE_PX:
        raise EnrolmentError(
            "face_too_small",
            f"The face is only {main.height:.0f} pixels high; at least {MIN_FACE_PX} are needed. "
            "Use a closer or larger photo.",
        )
    if abs(main.yaw_deg) > MAX_YAW_DEG or abs(main.pitch_deg) > MAX_PITCH_DEG:
        raise EnrolmentError(
            "face_turned",
            f"The face is turned too far (about {abs(main.yaw_deg):.0f} degrees sideways, "
            f"{abs(main.pitch_deg):.0f} up or down). Use a photo that looks toward the camera.",
        )
    return main


def surest_face(photo: Image8, *, far: bool = False) -> tuple[float, tuple[float, ...]]:
    """How sure the detector is of the surest face in `photo` (uint8 [H, W, 3]), and that one's box:
    left, top, width, height in pixels. 0 where it finds none. `far`: faces that are small in it."""
    height, width = photo.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width))
    small = np.ascontiguousarray(_resized(photo, round(width * scale), round(height * scale)))
    found = _detector(far).process(small).detections or []
    if not found:
        return 0.0, (0.0, 0.0, float(width), float(height))
    best = max(found, key=lambda detection: detection.score[0])
    box = best.location_data.relative_bounding_box
    place = (box.xmin * width, box.ymin * height, box.width * width, box.height * height)
    return float(best.score[0]), place


def _is_person(photo: Image8, face: FaceMesh) -> bool:
    """Whether a second mesh is of a face, by a closer look and its mirror image.

    Of 692 portraits, faces score 0.81 to 0.98 and come out again within 0.11 of their height;
    meshes in cloth, braids and shadows score up to 0.57 and come out more than 0.33 elsewhere.
    """
    middle = face.points[:, :2].mean(axis=0)
    reach = face.height
    left, top = (max(0, round(float(v) - reach)) for v in middle)
    right, bottom = (max(0, round(float(v) + reach)) for v in middle)
    crop = photo[top:bottom, left:right]
    if min(crop.shape[:2]) < 8 or surest_face(crop)[0] < PERSON_SCORE:
        return False
    mirror = np.ascontiguousarray(crop[:, ::-1])
    scale = _FINE_SIDE / 2 / max(mirror.shape[:2])
    large = _resized(mirror, round(mirror.shape[1] * scale), round(mirror.shape[0] * scale))
    for again in find_meshes(large, most=1):
        points = again.points[_MIDLINE, :2] / scale
        points[:, 0] = crop.shape[1] - points[:, 0]
        away = points + np.array([left, top]) - face.points[_MIDLINE, :2]
        if np.linalg.norm(away, axis=1).max() < PERSON_AGREES * face.height:
            return True
    return False


def person_mask(picture: Image8) -> npt.NDArray[np.float32]:
    """Return the share of person in each pixel of `picture`: float32 [H, W] in [0, 1]."""
    with mediapipe_package().solutions.selfie_segmentation.SelfieSegmentation(
        model_selection=0
    ) as net:
        mask: npt.NDArray[np.float32] = net.process(picture).segmentation_mask
    return mask.astype(np.float32)


def find_meshes(photo: Image8, most: int) -> list[FaceMesh]:
    """At most so many faces that are large in `photo`, uint8 [H, W, 3]; none is no error."""
    height, width = photo.shape[:2]
    scale = min(1.0, DETECT_SIDE / max(height, width))
    small = np.ascontiguousarray(_resized(photo, round(width * scale), round(height * scale)))
    found = _mesher(most).process(small).multi_face_landmarks or []
    size = np.array([width, height, width], dtype=np.float32)
    points = (np.array([[p.x, p.y, p.z] for p in f.landmark], np.float32) for f in found)
    return [FaceMesh(p * size) for p in points]


def _far_meshes(photo: Image8) -> list[FaceMesh]:
    """Look for faces that are small in the picture with the long-range detector."""
    height, width = photo.shape[:2]
    found = _detector(True).process(np.ascontiguousarray(photo)).detections or []
    faces = []
    for detection in found:
        box = detection.location_data.relative_bounding_box
        side = 2.2 * max(box.width * width, box.height * height)
        centre = ((box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height)
        faces += _in_crop(photo, centre, side)[:1]
    return faces


def _tile_meshes(photo: Image8) -> list[FaceMesh]:
    """Look for small faces in overlapping squares of half the picture's shorter side."""
    height, width = photo.shape[:2]
    side = min(height, width) / 2
    faces: list[FaceMesh] = []
    if side < MIN_FACE_PX:  # no face in it could be large enough
        return faces
    for y in np.arange(side / 2, height - side / 2 + 1, side / 2):
        for x in np.arange(side / 2, width - side / 2 + 1, side / 2):
            for face in _in_crop(photo, (float(x), float(y)), side):
                middle = face.points[:, :2].mean(axis=0)
                known = [np.linalg.norm(f.points[:, :2].mean(axis=0) - middle) for f in faces]
                if not known or min(known) > face.height / 2:
                    faces.append(face)
    return faces


def _look_closer(photo: Image8, face: FaceMesh) -> FaceMesh:
    """Detect again on an enlarged crop: landmarks of a small face gain much accuracy."""
    centre = face.points[:, :2].mean(axis=0)
    again = _in_crop(photo, (float(centre[0]), float(centre[1])), _FINE_CROP * face.height)
    near = [f for f in again if np.abs(f.points[1] - face.points[1])[:2].max() < 0.3 * face.height]
    return near[0] if near else face


def _in_crop(photo: Image8, centre: tuple[float, float], side: float) -> list[FaceMesh]:
    height, width = photo.shape[:2]
    left, top = max(0, round(centre[0] - side / 2)), max(0, round(centre[1] - side / 2))
    right = min(width, round(centre[0] + side / 2))
    bottom = min(height, round(centre[1] + side / 2))
    crop = photo[top:bottom, left:right]
    if min(crop.shape[:2]) < 8:
        return []
    scale = _FINE_SIDE / max(crop.shape[:2])
    large = _resized(crop, round(crop.shape[1] * scale), round(crop.shape[0] * scale))
    offset = np.array([left, top, 0], dtype=np.float32)
    return [FaceMesh(f.points / scale + offset) for f in find_meshes(large, most=1)]


def _resized(picture: Image8, width: int, height: int) -> Image8:
    if picture.shape[1] == width and picture.shape[0] == height:
        return picture
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
