"""Layered models: which neighbour a sample is equal to, or its new value."""
