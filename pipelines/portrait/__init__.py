"""The `portrait` renderer: one photo, warped in layers by its face mesh."""
