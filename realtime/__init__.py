"""Everything with a clock, a queue or a socket."""
