"""Simulated events: what is produced as load, and what streaming features are checked against."""
