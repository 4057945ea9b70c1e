"""Who is spoken to listens."""

from __future__ import annotations

import torch

from pipelines.audio.mel import MelConfig
from pipelines.motion.hearing import Hearing, behaviour
from pipelines.motion.idle import IDLE, LISTENING, SPEAKING
from realtime.engine import wire
from realtime.engine.turns import WaitingHop


def test_a_slot_that_is_spoken_to_listens_unless_it_speaks() -> None:
    state = Hearing(MelConfig()).init_state(3)
    state.quiet[2] = 0.0
    assert behaviour(state).tolist() == [IDLE, IDLE, SPEAKING]
    state.listen(torch.tensor([True, False, True]))
    assert behaviour(state).tolist() == [LISTENING, IDLE, SPEAKING]
    state.quiet += 800.0  # half a minute in which nobody speaks
    assert behaviour(state).tolist() == [IDLE, IDLE, IDLE]


def test_that_it_is_spoken_to_reaches_the_inference_process() -> None:
    samples = torch.zeros(640).numpy()
    for listens in (False, True):
        sent = WaitingHop(640, samples, False, 1.5, listens)
        _, came = wire.unpack_hop(wire.pack_hop(7, sent))
        assert (came.listens, came.speech, came.start, came.sent) == (listens, False, 640, 1.5)
