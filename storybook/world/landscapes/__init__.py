"""Landscapes: `landscape` (pages and edits), `layout` (what is where), `scenery` and `props` (paint)."""
