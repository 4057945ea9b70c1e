"""Features to motion."""
