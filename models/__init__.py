"""Models: a folder each, a version in a folder named by its number, and how it was trained."""
