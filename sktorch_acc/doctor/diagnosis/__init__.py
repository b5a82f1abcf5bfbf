"""Find problems of a module, its data and its training.

`subject` collects what is examined, `loaders` reads the static properties of a loader, `measure` runs the
module in both modes, `examine` runs the checks, `memorise` trains a copy on a few samples; `diagnose` holds
the public functions.
"""
