"""Smooth models bit for bit: residuals of blended and of least-squares predictions."""
