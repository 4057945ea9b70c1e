"""The calls about sessions, whichever process has them."""

from __future__ import annotations

from realtime.http.events import event_routes
from realtime.http.openai import realtime_routes
from realtime.http.pipecat import pipecat_routes
from realtime.http.recording import recording_routes
from realtime.http.sessions import session_routes
from realtime.http.speech import speech_routes
from realtime.http.whep import whep_routes
from realtime.http.whip import whip_routes

SESSION_ROUTES = (
    session_routes,
    speech_routes,
    realtime_routes,
    event_routes,
    recording_routes,
    whip_routes,
    whep_routes,
    pipecat_routes,
)
