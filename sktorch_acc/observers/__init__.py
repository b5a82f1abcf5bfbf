"""Who hears of a fit: skorch's and scikit-learn's callbacks, the table of epochs, the checks inside `fit`."""
