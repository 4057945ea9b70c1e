"""Our video service in a real pipeline of Pipecat's, and a WebRTC peer that watches it."""

import json
import subprocess

import pytest

from tests.clients.bundles import HERE
from tests.clients.environments import python_of

CHUNK_S = 0.04
"""Pipecat fills the last piece of an utterance up with silence to this length."""


@pytest.fixture(scope="module")
def report(running):
    python = python_of("pipecat")
    program = [python, HERE / "pipecat_loop.py", running.url]
    ran = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout[-8000:]
    return json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))


def test_an_utterance_is_played_as_it_was_pushed(report):
    assert report["same"]
    assert 4.0 <= report["played_s"] <= 4.0 + CHUNK_S
    assert report["errors"] == []


def test_the_transport_is_told_where_it_ends(report):
    kinds = report["kinds"]
    assert kinds.count("BotStartedSpeakingFrame") == kinds.count("BotStoppedSpeakingFrame") == 1
    assert kinds.count("TTSStoppedFrame") == 1


def test_the_peer_hears_it_and_sees_the_mouth_move(report):
    assert report["heard_s"] > 1.0  # its syllables
    assert report["moves"] > 2.0 * report["rests"]


def test_an_interruption_ends_it_for_good(report):
    assert 0.8 <= report["interrupted_s"] < 10.0
    assert report["after_same"]
    assert 1.0 <= report["after_s"] <= 1.0 + CHUNK_S


def test_the_last_words_are_said_before_the_pipeline_ends(report):
    assert report["last_s"] >= 1.0
