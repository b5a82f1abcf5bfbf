"""Values, tensors and files without pickle: what model files, and later checkpoints, are written with."""
