"""Animals: `animal` (pages and edits), `skeleton` (numbers and geometry), `body`, `face`, `coat` (paint), `breeds`."""
