"""Shared settings of the tests: one thread per process, no GPU, quick hypothesis examples."""

import atexit
import gc
import os
import signal

# Where there is a card, TRITON_INTERPRET=0 and `-m gpu` try what is compiled: no graph can capture
# an interpreter.
os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("GLOG_minloglevel", "2")

import torch
from hypothesis import HealthCheck, settings

from pipelines.card import set_up_card

# A shell runs what is in the background deaf to SIGINT, and the programs under test would inherit
# it; with a handler of ours they start as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
set_up_card()
settings.register_profile(
    "vivavoce",
    max_examples=50,
    deadline=None,
    derandomize=True,  # the same examples on every machine; `make test-all` searches for new ones
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("vivavoce"), derandomize=False)
settings.load_profile("vivavoce")

# Servers that tests start in this process freeze what there is (`gc.freeze`), Triton's module with
# it, which would then list all that it is made of as leaked when the process ends.
atexit.register(gc.unfreeze)
