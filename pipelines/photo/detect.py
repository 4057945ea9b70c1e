"""Finds the face mesh and the person in a photo with MediaPipe, an optional extra."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.photo.decode import Image8
from pipelines.photo.detector import (
    DETECT_SIDE,
    Seen,
    mediapipe_package,
    resized,
    see_faces,
    surest_face,
)
from pipelines.photo.errors import EnrolmentError

Points = npt.NDArray[np.float32]

MIN_FACE_PX = 64  # forehead to chin, in the photo
_PANORAMA = 2.5  # times as long as high
MAX_YAW_DEG = 35.0
MAX_PITCH_DEG = 30.0
EXTRA_FACE_SHARE = 1 / 3  # smaller ones in the background are ignored
_FINE_SIDE = 640  # pixels, side of the crop for the second, exact look
_FINE_CROP = 2.0  # its side in face heights
LEVEL_PITCH_DEG = 12.0  # a chin lies behind the forehead in a level face
PERSON_SCORE = 0.7  # of the detector, for a second mesh to count as somebody
PERSON_AGREES = 0.22  # face heights between a mesh and that of the mirrored picture
MESH_AWAY = 0.09  # face heights between a mesh and the detector's points, for it to be doubted
_OTHER_CROPS = (1.4, 1.8, 2.2, 2.6, 3.0)  # in face heights: then it is looked at in these, too
_SEEN_POINTS = ((468,), (473,), (4,), (13, 14))  # of a mesh, where the detector has its points,
_USUALLY = np.array([(0.0, -0.02), (0.0, -0.02), (0.0, -0.02), (0.0, -0.01)], np.float32)
"""and how far from them they lie on most portraits, in face heights."""
_MIDLINE = (10, 152, 1, 13)  # forehead, chin, nose, lips: the mirror maps each to itself
_FOREHEAD, _CHIN, _CHEEK_RIGHT, _CHEEK_LEFT = 10, 152, 234, 454


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
def _mesher(most: int) -> Any:
    """The mesh network for so many faces, loaded once."""
    return mediapipe_package().solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=most,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )


def find_face(photo: Image8) -> FaceMesh:
    """Return the mesh of the one face in `photo` (uint8 [H, W, 3]) or say why there is none."""
    faces = find_meshes(photo, most=4) or _far_meshes(photo) or _tile_meshes(photo)
    if not faces:
        raise _no_face()
    faces.sort(key=lambda face: -face.height)
    large = [face for face in faces if face.height > EXTRA_FACE_SHARE * faces[0].height]
    if len(large) > 1:
        large = [face for face in large if _is_person(photo, face)] or large[:1]
    if len(large) > 1:
        raise EnrolmentError(
            "several_faces",
            f"{len(large)} faces were found. Use a photo of one person, or crop it to one.",
        )
    main = on_the_face(photo, _look_closer(photo, large[0]))
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


def _no_face() -> EnrolmentError:
    return EnrolmentError(
        "no_face",
        "No face was found. Use a photo of one person looking at the camera, well lit, with the "
        "whole face visible.",
    )


def on_the_face(photo: Image8, face: FaceMesh) -> FaceMesh:
    """`face`, or a mesh that lies better on what the detector sees there in `photo` (uint8
    [H, W, 3]); raises `EnrolmentError` where that is no face.

    A beard and spectacles may move a mesh by a tenth of the face, with the mouth in the nose, and
    looked at from a little further away it lies right. Of 300 portraits none lies further than
    0.081 from its detector's points; on the negative of a photo it lay 0.13 away, with a score of
    0.6, and on a cat where the detector sees nothing.
    """
    seen = _seen_around(photo, face)
    if not seen:
        raise _no_face()
    if _away(face, seen)[0] > MESH_AWAY:
        x, y = (float(v) for v in face.points[:, :2].mean(axis=0))
        looks = [m for share in _OTHER_CROPS for m in _in_crop(photo, (x, y), share * face.height)]
        face = min((face, *looks), key=lambda mesh: _away(mesh, seen)[0])
    away, score = _away(face, seen)
    if away > MESH_AWAY and score < PERSON_SCORE:
        raise _no_face()
    return face


def _seen_around(photo: Image8, face: FaceMesh) -> list[Seen]:
    """Faces that the detector sees where a mesh lies."""
    middle, reach = face.points[:, :2].mean(axis=0), face.height
    left, top = (max(0, round(float(v) - reach)) for v in middle)
    right, bottom = (max(0, round(float(v) + reach)) for v in middle)
    crop = photo[top:bottom, left:right]
    if min(crop.shape[:2]) < 8:
        return []
    corner = np.array([left, top], np.float32)
    return [replace(seen, points=seen.points + corner) for seen in see_faces(crop)]


def _away(face: FaceMesh, seen: list[Seen]) -> tuple[float, float]:
    """How far eyes, nose or mouth of a mesh lie from those of the nearest face of `seen`, in face
    heights, and how sure that one is."""
    points = np.stack([face.points[list(group), :2].mean(axis=0) for group in _SEEN_POINTS])
    apart = [
        float(np.linalg.norm((points - one.points) / face.height - _USUALLY, axis=1).max())
        for one in seen
    ]
    nearest = int(np.argmin(apart))
    return apart[nearest], seen[nearest].score


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
    large = resized(mirror, round(mirror.shape[1] * scale), round(mirror.shape[0] * scale))
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
    small = np.ascontiguousarray(resized(photo, round(width * scale), round(height * scale)))
    found = _mesher(most).process(small).multi_face_landmarks or []
    size = np.array([width, height, width], dtype=np.float32)
    points = (np.array([[p.x, p.y, p.z] for p in f.landmark], np.float32) for f in found)
    return [FaceMesh(p * size) for p in points]


def _far_meshes(photo: Image8) -> list[FaceMesh]:
    """Look for faces that are small in the picture with the long-range detector."""
    faces = []
    for seen in see_faces(photo, far=True):
        left, top, width, height = seen.box
        centre = (left + width / 2, top + height / 2)
        faces += _in_crop(photo, centre, 2.2 * max(width, height))[:1]
    return faces


def _tile_meshes(photo: Image8) -> list[FaceMesh]:
    """Look for small faces in overlapping squares: first as high as a panorama, if it is one, then
    half as high."""
    short, long = sorted(photo.shape[:2])
    sides = (short, short / 2) if long > _PANORAMA * short else (short / 2,)
    for side in sides:
        if side >= MIN_FACE_PX and (faces := _in_squares(photo, side)):
            return faces
    return []


def _in_squares(photo: Image8, side: float) -> list[FaceMesh]:
    height, width = photo.shape[:2]
    faces: list[FaceMesh] = []
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
    large = resized(crop, round(crop.shape[1] * scale), round(crop.shape[0] * scale))
    offset = np.array([left, top, 0], dtype=np.float32)
    return [FaceMesh(f.points / scale + offset) for f in find_meshes(large, most=1)]
