"""`python -m gooddrag`: the command line."""

from gooddrag.cli import app

app(prog_name="gooddrag")
