"""Models to records: tiles, latents, samples, the choice among candidates, and verification."""
