"""Things: `thing` (pages and edits), `vehicles`, `household`, `furniture`; `item` has what they share."""
