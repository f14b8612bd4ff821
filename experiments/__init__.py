"""What was measured, how, and what it says of the paper's claims. Not part of the installed package.

`study` compares ways to drag on the same edits; one module a question says which ways and what is measured:
`aldd` (Sec. 3.3; Fig. 1, 3, 12), `ip` (Sec. 3.4; Fig. 5, 13, 14), `identity` (the LoRA and Latent-MasaCtrl, Sec. 5.1),
`differences` (the paper's text against the released code), `latents` (inversion, noise and features alone, notebooks 01
to 03), `edits` (the embedded model itself, sheets of results), `cost` (passes, bytes and seconds of an edit).
`claims` turns results into verdicts by rule, `tables` writes them into the documents, `run` computes and keeps:

    python -m experiments.run aldd ip      compute these studies; interrupted, the same command goes on
    python -m experiments.run documents    verdicts and tables anew, from what results/ holds
    python -m experiments.run notebooks    execute the notebooks and keep their outputs

`gpu` is one command for a bare machine with a GPU.
"""
