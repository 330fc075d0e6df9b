"""A pipeline of one's own, begun: what `streaminfer new` writes, and how a model gets its manifest."""
