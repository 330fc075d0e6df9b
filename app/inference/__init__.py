"""Models that are served, and what must hold before one may."""
