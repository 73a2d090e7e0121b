"""File formats: bytes in, bytes out. No torch, nothing above this layer.

`vlat` is the archive, `decoder_file` the decoder's file, `npy` NumPy's, `files` all others; `rans`,
`tile_stream` and `record` are what an archive's records are made of.
"""
