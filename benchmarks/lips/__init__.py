"""How well lips follow speech, read from pixels."""
