"""What benchmarks of a server are told to run, and where they keep it."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.service.browser import add_pipeline, pipeline_flags, result_name


def chosen(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_pipeline(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((), "latency_portrait_512"),
        (("--pipeline", "anitalker"), "latency_anitalker_512"),
        (("--set", "motion_weights=mine"), "latency_portrait_motion_weights-mine_512"),
        (
            ("--pipeline", "anitalker", "--set", "renderer_weights=a", "--set", "playing.ahead=3"),
            "latency_anitalker_renderer_weights-a_playing.ahead-3_512",
        ),
    ],
)
def test_no_choice_overwrites_another(arguments: tuple[str, ...], name: str) -> None:
    assert result_name("latency", chosen(*arguments), "512") == name


def test_the_server_is_told_what_was_chosen() -> None:
    assert pipeline_flags(chosen()) == ("--pipeline", "portrait")
    flags = ("--pipeline", "anitalker", "--set", "precision=bfloat16", "--set", "playing.ahead=3")
    assert pipeline_flags(chosen(*flags)) == flags
