"""Bytes from outside, mutated without end: each target takes any and raises nothing but what its callers expect."""
