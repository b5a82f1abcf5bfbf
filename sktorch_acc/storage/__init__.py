"""Write and read values, tensors and files without pickle."""
