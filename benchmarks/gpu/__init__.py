"""A card under a batch of faces: what it must do on paper, and one command that measures it.

    python -m benchmarks.gpu.bounds          # the table of what each stage costs at least
    python -m benchmarks.gpu.bake FACES      # where the whole program is installed
    python -m benchmarks.gpu --faces FACES   # on a bare machine: torch, triton, numpy, safetensors

docs/gpu.md says how to read what they print.
"""
