"""Training the networks of SwapTalk."""
