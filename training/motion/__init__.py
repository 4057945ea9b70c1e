"""From phones to motion targets, and the training of the motion generators."""
