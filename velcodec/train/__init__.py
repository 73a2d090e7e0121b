"""Making new decoders: generated examples, the recipe, checkpoints, and the finish."""
