"""Archives as Python objects: read, created, streamed, edited, repaired, listed."""
