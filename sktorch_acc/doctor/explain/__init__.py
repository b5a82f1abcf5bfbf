"""Which formula gives a figure that a loop printed.

`reading` turns outputs and targets into a `problem`, `reported` reads the printed figure; `formulas` is the
table of wrong formulas, computed in `averages`, `precision` and `comparisons`; `ranking` says how probable
each is, `message` writes it down; `explain` is the public function.
"""
