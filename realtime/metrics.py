"""Every counter and histogram of the server. Edges lie around the 40 ms budget of a step."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGE_EDGES_MS = (1, 2, 4, 6, 8, 12, 16, 20, 25, 30, 35, 40, 50, 60, 80, 120, 200, 400)
DELAY_EDGES_MS = (40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 250, 300, 400, 600, 1000)
SKEW_EDGES_MS = (-80, -45, -30, -20, -15, -10, -5, 0, 5, 10, 15, 20, 30, 45, 80)
ENROL_EDGES_MS = (250, 500, 1000, 2000, 3000, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = Gauge(
            "vivavoce_sessions", "Sessions open now", ["size"], registry=self.registry
        )
        self.sessions_opened = Counter(
            "vivavoce_sessions_opened", "Sessions admitted", registry=self.registry
        )
        self.sessions_ended = Counter(
            "vivavoce_sessions_ended", "Sessions ended", ["reason"], registry=self.registry
        )
        self.refused = Counter(
            "vivavoce_sessions_refused", "Sessions refused", ["reason"], registry=self.registry
        )
        self.stage_ms = Histogram(
            "vivavoce_stage_milliseconds",
            "Time of one frame in a stage: wait (hop ready to step), step (features to planes), "
            "encode",
            ["stage"],
            buckets=STAGE_EDGES_MS,
            registry=self.registry,
        )
        self.added_delay_ms = Histogram(
            "vivavoce_added_delay_milliseconds",
            "From the arrival of the last sample a frame shows to its encoder",
            buckets=DELAY_EDGES_MS,
            registry=self.registry,
        )
        self.skew_ms = Histogram(
            "vivavoce_av_skew_milliseconds",
            "Video minus audio of the same media time as they leave",
            buckets=SKEW_EDGES_MS,
            registry=self.registry,
        )
        self.frames = Counter(
            "vivavoce_frames",
            "Video frames by fate: sent, repeated (nothing new was ready), "
            "dropped (ready too late), skipped (not drawn, to catch up)",
            ["fate"],
            registry=self.registry,
        )
        self.hops_dropped = Counter(
            "vivavoce_hops_dropped", "Hops that found a full inbox", registry=self.registry
        )
        self.concealed_ms = Counter(
            "vivavoce_concealed_milliseconds",
            "Microphone sound that was lost or late and replaced",
            registry=self.registry,
        )
        self.rung = Gauge(
            "vivavoce_degradation_rung",
            "Highest rung of the degradation ladder in use (0 full quality)",
            registry=self.registry,
        )
        self.engine_restarts = Gauge(
            "vivavoce_engine_restarts",
            "Times the inference process was started anew",
            registry=self.registry,
        )
        self.enrol_ms = Histogram(
            "vivavoce_enrol_milliseconds",
            "Time to turn a photo or video into an avatar",
            buckets=ENROL_EDGES_MS,
            registry=self.registry,
        )
        for stage in ("wait", "step", "encode"):
            self.stage_ms.labels(stage)
        for fate in ("sent", "repeated", "dropped", "skipped"):
            self.frames.labels(fate)
