"""The evaluation of swaptalk, as the table of its paper."""
