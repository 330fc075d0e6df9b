"""Work over the log after the fact: audit, lag, verify, replay, redrive, diff.

What looks reads what is committed, joins no group, and imports the pipeline's words and never the loop. What answers
once more, a replay and a redrive, is the loop itself over other records, under a group of its own.
"""
