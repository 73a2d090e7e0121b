"""A model's samples as bytes: lossless, within a bound, or in the mean.

Samples become integers (`domain`), and these a stream of one of the coders (`coders` is their
table, `base` their interface): label maps for layers, a DCT or predictions for smooth models. All
arithmetic is reproducible on every machine, and compiled by numba.
"""
