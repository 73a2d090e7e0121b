"""File formats: bytes in, bytes out. No torch, and nothing above this layer.

`container` is the archive, `latent_coding` and `sample_coding` are what its records hold,
`decoder_file` is the decoder's file, `files` reads and writes models in other formats.
"""
