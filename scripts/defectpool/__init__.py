"""Point defects in two-dimensional crystals, found by crystal graph networks."""

__version__ = "0.1.0"
