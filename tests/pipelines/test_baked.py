"""What renderers made of identities: shared, bounded, and there for every size of a slot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.baked import BakedCache, SlotFaces
from pipelines.identity import IdentityFeatures, content_key
from pipelines.pipeline import Size

CPU = torch.device("cpu")
SMALL, WIDE = (256, 256), (1280, 720)


def features(name: str) -> IdentityFeatures:
    key = content_key(name.encode(), "crop", "portrait", 1)
    return IdentityFeatures(key, {"x": np.zeros(1, np.uint8)}, {"name": name})


def test_baked_faces_have_room_and_the_oldest_makes_it() -> None:
    made: list[str] = []

    def make(identity: IdentityFeatures, size: Size, device: torch.device) -> str:
        made.append(identity.meta["name"])
        return made[-1]

    cache = BakedCache(make, most=1)
    faces = [features(name) for name in "abc"]
    cache.make_room(2)
    cache.make_room(1)  # for another pipeline, which does not take it away
    for number in (0, 1, 0, 1, 2, 1, 0):
        cache.get(faces[number], SMALL, CPU)
    assert made == ["a", "b", "c", "a"]


def test_a_slot_shows_its_face_at_every_size_it_was_given() -> None:
    cache = BakedCache(lambda identity, size, _: (identity.meta["name"], size))
    slots = SlotFaces(cache, 2, 2, CPU)
    slots.set(0, features("a"), [SMALL, WIDE])
    slots.set(1, features("b"), [SMALL])
    assert slots.get(0, WIDE) == ("a", WIDE)
    assert slots.get(1, SMALL) == ("b", SMALL)
    with pytest.raises(ValueError, match="slot 1 was not prepared for 1280 x 720"):
        slots.get(1, WIDE)
    slots.set(0, features("b"), [SMALL])
    assert slots.get(0, SMALL) is slots.get(1, SMALL), "shared"


def test_what_was_prepared_is_not_made_again() -> None:
    made: list[Size] = []
    cache = BakedCache(lambda identity, size, _: made.append(size))
    slots = SlotFaces(cache, 1, 2, CPU)
    slots.prepare(features("a"), WIDE)
    assert made == [WIDE]
    with pytest.raises(ValueError, match="slot 0 has no identity"):
        slots.get(0, WIDE)
