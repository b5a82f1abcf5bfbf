"""Common mistakes, each built for real and tabled with the code that has to be reported, and correct counterparts.

`data` holds those in loaders, outputs and data, `fits` those in training, `folds` those in cross-validations, and
`loops` those that show only while a loop runs. A table maps the name of a case to its code and a function that makes
the diagnosis; tables that begin with CLEAN hold functions alone. `common` is what several files are built from.
"""
