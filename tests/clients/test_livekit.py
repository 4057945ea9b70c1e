"""LiveKit's agent side, unchanged, and our avatar worker: what it is told of playback is true."""

import json
import subprocess

import pytest

from tests.clients.bundles import HERE
from tests.clients.environments import python_of

HOP_S = 0.04
CLEAR_LIMIT_S = 2.0
"""LiveKit's: then the agent gives up and assumes that all was played."""


@pytest.fixture(scope="module")
def reports(running):
    python = python_of("livekit")
    program = [python, HERE / "livekit_loop.py", running.url]
    ran = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "arbitrarily" not in ran.stdout  # the agent's words when it was told nothing in time
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


def segments(reports, *, interrupted: bool) -> list[dict]:
    return [r for r in reports if r.get("segment", "").startswith("interrupted") is interrupted]


def test_every_segment_is_finished_once(reports):
    told = [report["finished"] for report in reports if "segment" in report]
    assert len(told) == 8
    assert [len(one) for one in told] == [1] * 8


def test_a_segment_that_is_played_whole_is_so_to_the_sample(reports):
    whole = [r for r in segments(reports, interrupted=False) if "segment" in r]
    assert len(whole) == 4
    for report in whole:
        assert report["same"]
        assert report["heard_s"] == report["pushed_s"]
        assert report["started"] == 1
        position, interrupted = report["finished"][0]
        assert not interrupted
        assert position == pytest.approx(report["pushed_s"], abs=1e-6)


def test_an_interrupted_segment_ends_where_it_was_heard(reports):
    cut = segments(reports, interrupted=True)
    assert len(cut) == 4
    for report in cut:
        assert report["same"]
        position, interrupted = report["finished"][0]
        assert interrupted
        assert abs(position - report["heard_s"]) <= HOP_S + 1e-6
        assert report["heard_s"] < report["pushed_s"] / 2
        assert report["told_after_clear_s"] < CLEAR_LIMIT_S


def test_pictures_go_on_all_the_time(reports):
    last = reports[-1]
    assert last["done"]
    assert last["pictures"] > 25 * 5
