"""From models to records: tiles, latents, samples, the choice among them, and what is measured."""
