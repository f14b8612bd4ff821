"""What was measured, how, and what it says of the paper's claims. Not part of the installed package.

`study` compares ways to drag on the same edits; `ideas`, `differences`, `edits` and `latents` ask; `claims` judges by
rule, `tables` fills the documents, `run` has the commands; `gpu` is for a bare machine with a GPU.
"""
