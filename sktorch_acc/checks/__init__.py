"""Every check of the library, once each: pure functions from facts to a `Finding` or None.

Every function without an underscore is a check, or collects facts for one. No module is run here: `engine.probe`
collects the facts before epoch 1 and raises; the doctor collects them from any module and reports.
"""
