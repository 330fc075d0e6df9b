"""Watching what is committed: rates, lateness, drift, quality as outcomes come in, alerts, and a page that shows them.

Built on Faust, which delivers at least once: counts are keyed by source offset, so that nothing counts twice. Nothing
here is needed for scoring, and nothing here is trusted by it.
"""
