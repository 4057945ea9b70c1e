"""What a server says of its engine, its pipelines and its sessions, as JSON would have it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.photo.framing import frames_of
from pipelines.pipeline import NeedsWeights
from pipelines.registry import find_system, known_systems
from realtime.config import ServerConfig
from realtime.engine.health import Health
from realtime.life import Life
from realtime.protocol import SessionInfo, SpeechInfo
from realtime.sources.pushed import MAX_WAITING_S, PushedSpeech
from realtime.sources.source import Source

if TYPE_CHECKING:
    from realtime.session import Session

logger = logging.getLogger(__name__)


def describe_engine(health: Health, config: ServerConfig) -> dict[str, Any]:
    """What `GET /health` says of the engine, of what it runs and where."""
    return {
        "engine": {
            "state": health.state,
            "answered_s": round(health.answered_s, 1),
            "restarts": health.restarts,
            "device": health.device,
            "rung": health.rung,
        },
        "machine": health.machine._asdict(),
        "pipelines": {
            name: _describe_loaded(name, state, health, config)
            for name, state in health.pipelines.items()
        },
        "costs": health.costs,
        "backends": {name: found.describe() for name, found in health.backends.items()},
    }


def _describe_loaded(name: str, state: str, health: Health, config: ServerConfig) -> dict[str, Any]:
    """`size` is what a session gets that asks for none, `first_size` what it begins with on this
    machine, `costs` are milliseconds of one core, or of a GPU."""
    size, prefix = config.size_of(name), f"{name} "
    costs = {
        cost.removeprefix(prefix): ms
        for cost, ms in health.costs.items()
        if cost.startswith(prefix)
    }
    return {
        "state": state,
        "size": list(size),
        "first_size": list(health.first_sizes.get(name, size)),
        "costs": costs,
    }


def describe_pipelines(health: Health, config: ServerConfig) -> list[dict[str, Any]]:
    """What `GET /v1/pipelines` says: all that can be used, the default first."""
    described = []
    for name in dict.fromkeys((*config.loaded, *known_systems())):
        try:
            if not _lacks_weights(name, config):
                described.append(_describe_pipeline(name, health, config))
        except ValueError as error:
            logger.warning("the pipeline %s is not offered: %s", name, error)
    return described


def _lacks_weights(name: str, config: ServerConfig) -> bool:
    system = find_system(name)
    return isinstance(system, NeedsWeights) and bool(system.missing(config.options_of(name)))


def _describe_pipeline(name: str, health: Health, config: ServerConfig) -> dict[str, Any]:
    system = find_system(name)
    state = health.pipelines.get(name, "not loaded")
    return {
        "name": name,
        "summary": system.summary,
        "state": state,
        "loaded": state == "ready",
        "sizes": [list(size) for size in system.sizes],
        "size": list(config.size_of(name)),
        "frame": config.frame_of(name),
        "frames": [
            {
                "name": frame,
                "sizes": [list(size) for size in sizes.sizes],
                "size": list(config.size_of(name, frame)),
            }
            for frame, sizes in frames_of(system).items()
        ],
        "controls": [
            {
                "name": control.name,
                "summary": control.summary,
                "min": control.low,
                "max": control.high,
                "default": control.default,
            }
            for control in system.controls
        ],
        "motion_names": list(system.motion_names),
        "accepts": sorted(system.accepts),
        "keeps_video": system.keeps_video,
    }


def log_speed(health: Health) -> None:
    """Tell the log what this machine does."""
    machine, sizes = health.machine, health.first_sizes
    logger.info(
        "ready: %d cores of %.0f GFLOP/s, %.1f us for a small operation; pictures begin at %s; "
        "milliseconds: %s",
        machine.cores,
        machine.matmul_gflops,
        machine.add_us,
        ", ".join(f"{name} {w}x{h}" for name, (w, h) in sizes.items()) or "full size",
        ", ".join(f"{name} {ms:.1f}" for name, ms in health.costs.items()) or "not measured",
    )


def session_info(session: Session) -> SessionInfo:
    """What a client may know of its session."""
    width, height = session.size
    return SessionInfo(
        id=session.id,
        avatar=session.appearance.avatar.id,
        pipeline=session.appearance.system.name,
        size=max(width, height),
        width=width,
        height=height,
        frame=session.frame,
        controls=session.appearance.values,
        playout_delay_ms=session.playout_delay_ms,
        speech=_describe_speech(session.speech),
        turn_detection=session.turn_detection,
    )


def session_details(session: Session, age_s: float) -> dict[str, Any]:
    """What `GET /v1/sessions/{id}` says of one that has been open for so long."""
    return session_info(session).model_dump() | {
        "audio": "microphone" if session.speech is None else "push",
        "state": session.media.announcer.behaviour,
        "connected": session.life is Life.RUNNING,
        "age_s": round(age_s, 1),
        "parties": len(session.parties),
        "microphone": asdict(session.microphone.stats),
        "measurements": session.media.reporter.measurements(),
    }


def _describe_speech(speech: Source | None) -> SpeechInfo | None:
    if not isinstance(speech, PushedSpeech):
        return None
    return SpeechInfo(rate=speech.rate_hz, max_waiting_ms=round(MAX_WAITING_S * 1000))
