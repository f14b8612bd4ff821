"""Portraits: `person` (pages and edits), `skeleton` (numbers and geometry), `bust` and `face` (paint)."""
