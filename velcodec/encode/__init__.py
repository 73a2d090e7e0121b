"""The codec: models to tiles to latents to bytes, and back to values."""
