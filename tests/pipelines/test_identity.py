"""Identity features on disk and in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from pipelines.identity import (
    IdentityCache,
    IdentityFeatures,
    IdentityStore,
    content_key,
)


def features(name: str, count: int = 10) -> IdentityFeatures:
    key = content_key(name.encode(), "crop", "portrait", 1)
    return IdentityFeatures(key, {"x": np.arange(count, dtype=np.uint8)}, {"name": name})


def test_key_depends_on_every_part() -> None:
    keys = {
        content_key(b"photo", "crop", "portrait", 1),
        content_key(b"photo2", "crop", "portrait", 1),
        content_key(b"photo", "crop2", "portrait", 1),
        content_key(b"photo", "crop", "other", 1),
        content_key(b"photo", "crop", "portrait", 2),
        content_key(b"photocrop", "", "portrait", 1),
    }
    assert len(keys) == 6


def test_key_is_stable_across_releases() -> None:
    expected = "5440766219bb5da1"  # first half; a change here orphans every enrolled avatar
    assert content_key(b"photo", "crop", "portrait", 1)[:16] == expected


def test_saved_features_load_as_they_were(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "made" / "when needed")
    saved = features("a")
    path = store.save(saved)
    loaded = store.load(saved.key)
    assert path == store.path(saved.key)
    assert loaded.meta == saved.meta
    assert torch.equal(loaded.tensors["x"], saved.tensors["x"])
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


def test_unknown_features_are_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        IdentityStore(tmp_path).load(features("a").key)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 100])
def test_files_that_are_none_are_removed(tmp_path: Path, content: bytes) -> None:
    store, key = IdentityStore(tmp_path), features("a").key
    store.path(key).write_bytes(content)
    with pytest.raises(KeyError):
        store.load(key)
    assert not store.path(key).exists()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_truncated_features_are_removed_and_can_be_made_anew(tmp_path: Path, share: float) -> None:
    store, saved = IdentityStore(tmp_path), features("a", 1000)
    path = store.save(saved)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(KeyError):
        store.load(saved.key)
    assert not path.exists()
    store.save(saved)
    assert np.array_equal(store.load(saved.key).arrays["x"], saved.arrays["x"])


@pytest.mark.parametrize("bit", range(0, 8 * 40, 7))
def test_a_flipped_bit_of_the_content_is_never_drawn(tmp_path: Path, bit: int) -> None:
    store, saved = IdentityStore(tmp_path), features("a", 40)
    path = store.save(saved)
    content = bytearray(path.read_bytes())
    content[-1 - bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)
    with pytest.raises(KeyError, match="damaged"):
        store.load(saved.key)


def test_flipped_names_and_shapes_are_noticed_too(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    saved = IdentityFeatures(features("a").key, {"mouth": np.zeros((2, 3), np.int8)}, {"k": "v"})
    path = store.save(saved)
    good = path.read_bytes()
    for old, new in ((b"mouth", b"moutl"), (b"[2,3]", b"[3,2]"), (b'"v"', b'"w"'), (b"I8", b"U8")):
        assert old in good
        path.write_bytes(good.replace(old, new))
        with pytest.raises(KeyError, match="damaged"):
            store.load(saved.key)


def test_files_of_older_releases_have_no_digest_and_load(tmp_path: Path) -> None:
    store, key = IdentityStore(tmp_path), features("a").key
    canvas = np.full((4, 4, 3), 7, np.uint8)
    save_file({"canvas": canvas}, store.path(key), {"preset": "portrait"})
    loaded = store.load(key)
    assert loaded.meta == {"preset": "portrait"}
    assert np.array_equal(loaded.preview, canvas)


def test_arrays_are_tensors_of_the_same_memory(tmp_path: Path) -> None:
    store, saved = IdentityStore(tmp_path), features("a")
    store.save(saved)
    loaded = store.load(saved.key)
    loaded.tensors["x"][0] = 99
    assert loaded.arrays["x"][0] == 99
    assert loaded.nbytes == 10


def test_identities_need_no_torch() -> None:
    script = "import sys, pipelines.identity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_hashes_become_paths(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        IdentityStore(tmp_path).path(key)


def test_the_store_keeps_what_is_used_and_the_newest_of_the_rest(tmp_path: Path) -> None:
    store, faces = IdentityStore(tmp_path), [features(name) for name in "abcd"]
    for age, face in enumerate(faces):
        os.utime(store.save(face), (1000 - age, 1000 - age))
    (tmp_path / "cut-short.tmp").write_bytes(b"half")
    os.utime(tmp_path / "cut-short.tmp", (0, 0))
    size = store.path(faces[0].key).stat().st_size
    store.trim([faces[3].key], 2 * size)
    kept = {faces[n].key for n in (0, 1, 3)}
    assert {path.stem for path in tmp_path.iterdir()} == kept
    store.trim(kept, 0)
    assert {path.stem for path in tmp_path.iterdir()} == kept
    IdentityStore(tmp_path / "none").trim([], 0)


def test_cache_shares_one_copy(tmp_path: Path) -> None:
    cache = IdentityCache(IdentityStore(tmp_path), max_bytes=100)
    added = cache.add(features("a"))
    assert cache.get(added.key) is added
    assert IdentityCache(cache.store, 100).get(added.key).meta == {"name": "a"}


def test_cache_lets_go_of_the_least_recently_used(tmp_path: Path) -> None:
    cache = IdentityCache(IdentityStore(tmp_path), max_bytes=25)
    a, b, c = (features(n) for n in "abc")
    cache.add(a)
    cache.add(b)
    cache.get(a.key)
    cache.add(c)
    assert a.key in cache
    assert b.key not in cache
    assert cache.get(b.key).meta == {"name": "b"}  # still on disk
    cache.drop(b.key)
    assert b.key not in cache


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_cache_never_holds_more_than_its_limit(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = IdentityCache(IdentityStore(tmp_path_factory.mktemp("s")), max_bytes=64)
    for i, size in enumerate(sizes):
        newest = cache.add(features(str(i), size))
        assert newest.key in cache
        assert cache.nbytes <= 64
    cache_bytes = sum(cache.get(k).nbytes for k in list(cache._held))
    assert cache.nbytes == cache_bytes


def test_cache_needs_room() -> None:
    with pytest.raises(ValueError, match="positive"):
        IdentityCache(IdentityStore(Path()), 0)
