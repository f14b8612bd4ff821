"""What was measured, how, and what it says of the paper's claims. Not part of the installed package.

One module a question. `study` compares ways to drag on the same edits, `claims` turns results into verdicts by rule,
`tables` writes them into the documents, and `run` computes and keeps; `gpu` is for a bare machine with a GPU.
"""
