"""Training of the flow-warp renderer and of the map that drives it by interpretable motion."""
