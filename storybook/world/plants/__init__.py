"""Plants: `plant` (pages and edits) and `parts` (paint)."""
