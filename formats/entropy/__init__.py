"""Entropy coding: rANS, adaptive and learned bits. Symbols in, bytes out, and back."""
