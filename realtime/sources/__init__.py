"""Where speech comes from: each source gives hops on the media timeline."""
