"""Everything with a clock, a queue or a socket."""

import os

# Read when NumPy is imported, so before anything here does: planning a frame multiplies small
# matrices, and threads that wait for each other took a core beside every session.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
