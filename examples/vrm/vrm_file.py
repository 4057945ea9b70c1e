"""Bones, meshes and blendshapes as a file: glTF 2.0 with the extension VRMC_vrm 1.0."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from face import BLENDSHAPES, Points

BONES = {  # name: (parent, place in its parent)
    "hips": (None, (0, 0.95, 0)),
    "spine": ("hips", (0, 0.12, 0)),
    "chest": ("spine", (0, 0.14, 0)),
    "neck": ("chest", (0, 0.22, 0)),
    "head": ("neck", (0, 0.08, 0)),
    **{
        f"{side}{name}": (side + parent if parent[0].isupper() else parent, (sign * x, y, 0))
        for side, sign in (("left", 1), ("right", -1))
        for name, parent, x, y in (
            ("UpperArm", "chest", 0.17, 0.16),
            ("LowerArm", "UpperArm", 0.25, 0),
            ("Hand", "LowerArm", 0.24, 0),
            ("UpperLeg", "hips", 0.09, -0.05),
            ("LowerLeg", "UpperLeg", 0, -0.42),
            ("Foot", "LowerLeg", 0, -0.41),
        )
    },
}
PRESETS = {
    "aa": {"jawOpen": 0.7},
    "ih": {"jawOpen": 0.2, "mouthStretchLeft": 0.6, "mouthStretchRight": 0.6},
    "ou": {"mouthPucker": 0.9, "jawOpen": 0.15},
    "ee": {"jawOpen": 0.35, "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
    "oh": {"jawOpen": 0.5, "mouthFunnel": 0.7},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
}


def normals(corners: Points, triangles: Points) -> Points:
    """Of each corner, the mean of its triangles'."""
    p = corners[triangles]
    face = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    out = np.zeros_like(corners)
    for k in range(3):
        np.add.at(out, triangles[:, k], face)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


class Gltf:
    """What a .vrm holds, as it grows."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict] = []
        self.accessors: list[dict] = []
        self.meshes: list[dict] = []
        self.nodes: list[dict] = []
        self.materials: list[dict] = []
        self.colours: dict[tuple[str, bool], int] = {}
        self.binds: dict[str, list[dict]] = {name: [] for name in BLENDSHAPES}

    def array(self, values: Points, kind: str, code: int, dtype: str) -> int:
        raw = np.ascontiguousarray(values, dtype).tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)})
        self.data += raw
        count = values.size if kind == "SCALAR" else len(values)
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": code,
            "count": count,
            "type": kind,
        }
        if kind == "VEC3":
            floats = np.asarray(values, np.float32)
            accessor |= {"min": floats.min(0).tolist(), "max": floats.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def material(self, colour: str, lit: bool) -> int:
        if (colour, lit) not in self.colours:
            srgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
            linear = (((srgb + 0.055) / 1.055) ** 2.4).tolist()
            look = {"baseColorFactor": [*linear, 1], "metallicFactor": 0, "roughnessFactor": 0.9}
            made = {"pbrMetallicRoughness": look, "doubleSided": True}
            if not lit:
                made["extensions"] = {"KHR_materials_unlit": {}}
            self.colours[colour, lit] = len(self.materials)
            self.materials.append(made)
        return self.colours[colour, lit]

    def mesh(
        self,
        name: str,
        bone: str,
        corners: Points,
        triangles: Points,
        colour: str,
        lit: bool,
        targets: Mapping[str, Points],
    ) -> None:
        """Hang a mesh on a bone; `targets` are what each blendshape adds to its corners."""
        primitive: dict = {
            "attributes": {
                "POSITION": self.array(corners, "VEC3", 5126, "<f4"),
                "NORMAL": self.array(normals(corners, triangles), "VEC3", 5126, "<f4"),
            },
            "indices": self.array(triangles.reshape(-1), "SCALAR", 5123, "<u2"),
            "material": self.material(colour, lit),
        }
        if targets:
            primitive["targets"] = [
                {"POSITION": self.array(moved, "VEC3", 5126, "<f4")} for moved in targets.values()
            ]
        mesh: dict = {"name": name, "primitives": [primitive]}
        if targets:
            mesh["extras"] = {"targetNames": list(targets)}
        self.meshes.append(mesh)
        self.nodes.append({"name": name, "mesh": len(self.meshes) - 1})
        node = len(self.nodes) - 1
        self.nodes[list(BONES).index(bone)].setdefault("children", []).append(node)
        for index, key in enumerate(targets):
            self.binds[key].append({"node": node, "index": index, "weight": 1.0})

    def bones(self) -> None:
        """Nodes of the skeleton; the first of all."""
        names = list(BONES)
        for name, (_, place) in BONES.items():
            self.nodes.append({"name": name, "translation": [float(v) for v in place]})
        for name, (parent, _) in BONES.items():
            if parent is not None:
                self.nodes[names.index(parent)].setdefault("children", []).append(names.index(name))

    def write(self, path: Path) -> None:
        """As binary glTF with the extension VRMC_vrm."""
        names = list(BONES)
        presets = {
            name: {
                "morphTargetBinds": [
                    bind | {"weight": weight}
                    for shape, weight in mix.items()
                    for bind in self.binds[shape]
                ]
            }
            for name, mix in PRESETS.items()
        }
        vrm = {
            "specVersion": "1.0",
            "meta": {
                "name": "vivavoce demo head",
                "version": "1",
                "authors": ["vivavoce"],
                "licenseUrl": "https://vrm.dev/licenses/1.0/",
                "avatarPermission": "everyone",
                "commercialUsage": "corporation",
                "modification": "allowModificationRedistribution",
                "allowRedistribution": True,
                "creditNotation": "unnecessary",
            },
            "humanoid": {"humanBones": {name: {"node": names.index(name)} for name in names}},
            "expressions": {
                "preset": presets,
                "custom": {n: {"morphTargetBinds": b} for n, b in self.binds.items() if b},
            },
        }
        document = {
            "asset": {"version": "2.0", "generator": "vivavoce examples/vrm/model.py"},
            "extensionsUsed": ["VRMC_vrm", "KHR_materials_unlit"],
            "extensions": {"VRMC_vrm": vrm},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": self.materials,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        size = 12 + 8 + len(text) + 8 + len(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            struct.pack("<4sII", b"glTF", 2, size)
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(data), b"BIN\0")
            + data
        )
