"""Latents as bytes: quantised coefficients of tiles, value ranges, and frequency tables."""
