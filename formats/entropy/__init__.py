"""Entropy coding of symbols: rANS, adaptive bits and learned bits."""
