"""Monitor a training loop while it runs.

`hooks` observe without changing anything and can be removed; `monitor` counts what they see, with
`gradients`, `graphs`, `modes` and, for a metric object, `metering`; `reported` compares the counts with the
accuracies that the loop reports; `audit` holds the public function.
"""
