"""The recommendation model: how its data is fetched, how it is trained, exported and judged."""
