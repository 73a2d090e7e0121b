"""Layered models: which neighbour a sample equals, or its new value."""
