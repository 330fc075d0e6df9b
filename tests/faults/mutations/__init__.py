"""The product broken on purpose, one rule at a time: a test that no broken rule turns red proves nothing.

Each mutation is a patch of `app/` beside this file; `catalogue.py` says which rule it breaks and which test of the
suite must turn red. `python -m tests.faults.mutations` breaks them one after the other and prints what happened.
"""
