"""Observers of a fit: callbacks of skorch and scikit-learn, the table of epochs, the checks inside `fit`."""
