"""What was measured, how, and what it says of the paper's claims. Not part of the installed package.

`study` compares ways to drag on the same edits; `ideas`, `differences`, `edits` and `latents` ask, `claims` turns results
into verdicts by rule, `tables` writes them into the documents, `run` does it all; `gpu` is for a bare machine with a GPU.
"""
