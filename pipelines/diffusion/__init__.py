"""Motion-latent diffusion from speech: the network, its noise schedules and its samplers."""
