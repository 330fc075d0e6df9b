"""The fraud model."""
