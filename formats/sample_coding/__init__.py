"""A model's samples as bytes: what a latent cannot promise, bit for bit or within a bound.

Samples become integers (`domain`), then a stream of one of the coders (`coders` is their table,
`base` their interface): label maps for layers, a DCT or predictions for smooth models. Everything
is arithmetic that every machine does alike, compiled by numba.
"""
