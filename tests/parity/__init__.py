"""Parity: the proof that what comes out of the stream is what is computed offline, as ops/parity runs it."""

PAYMENTS, RECOMMENDATIONS = PARTS = ("payments", "recommendations")
