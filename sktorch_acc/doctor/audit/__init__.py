"""What a loop does while it runs.

`hooks` are taken off again and change nothing; `watching` turns them into counts, with `gradients`, `graphs`,
`modes` and, for a metric object, `metering`; `passed` is what is known of one forward pass; `figures` compares
the counts with what the loop reports; `audit` holds the public function.
"""
