"""Find the formula behind an accuracy that a training loop printed.

`reading` checks the outputs and the targets and makes a `problem` of them; `reported` parses the printed accuracy.
`formulas` holds the wrong formulas. `ranking` computes how probable each one is, `message` writes the answer, and
`explain` is the public function.
"""
