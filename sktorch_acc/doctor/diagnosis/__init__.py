"""What is wrong with a module, its data and its training.

`subject` says who is examined, `loaders` what a loader says of itself, `guard` keeps everything as it was,
`measure` runs the module in the ways that tell mistakes apart, `examine` asks the checks, `memorise` trains a
copy on a few rows; `diagnose` holds the public functions.
"""
