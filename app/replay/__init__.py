"""Work over the log after the fact: audit today; replay, redrive and diff as they come.

Reads what is committed, joins no group, and may import the pipeline's words, never the loop.
"""
