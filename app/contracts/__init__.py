"""Bytes to events and events to bytes, by the contracts in schemas/."""
