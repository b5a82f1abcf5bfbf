"""Training: the skorch net, the epoch loop, the probe before it and the evaluation after it."""
