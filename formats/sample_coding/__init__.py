"""Exact coding of a model's samples: what a latent cannot promise, bit for bit or within a bound.

Samples become integers (`domain`), then either a label image (layers: `labels`, whose next label an
integer network foresees from its neighbours) or numbers (smooth models: `numbers`). Everything is
integer arithmetic, compiled by numba, so that every machine decodes the same.
"""
