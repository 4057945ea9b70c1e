"""GPU ops. Tensors in, tensors out; `kernels.reference` is the specification of each."""

import os

# A product and a sum are rounded once. Triton 3.9 warns where nobody says so, 3.10 does otherwise.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
