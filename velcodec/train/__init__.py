"""Train decoders: generated examples, recipes, checkpoints, and finishing."""
