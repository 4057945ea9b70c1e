"""Generated portraits, CC BY: which of them no training may see."""
