"""How every page of the book is drawn. Pixels are frozen: WORLD_VERSION 1."""
