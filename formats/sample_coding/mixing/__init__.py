"""Context mixing: an image of integers as binary decisions that many contexts predict together.

No archive holds such streams yet.
"""
