"""`python -m benchmarks.swaptalk`: see `benchmarks.swaptalk`."""

from benchmarks.swaptalk.run import main

if __name__ == "__main__":
    main()
