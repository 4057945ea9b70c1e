"""`python -m benchmarks.lips`: see `benchmarks.lips`."""

import sys

from benchmarks.lips.run import main

if __name__ == "__main__":
    sys.exit(main())
