"""Pictures to judge a renderer by, and how well it redraws people."""
