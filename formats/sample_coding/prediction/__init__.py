"""Smooth models: residuals of blended and of least-squares predictions."""
