"""The fault rig: pipelines as users run them, harmed on purpose, and judged by an oracle that knows no product code."""
