"""velcodec inside other libraries: xarray, zarr, numcodecs.

One module for each; what it needs is an extra of the same name and is imported by that module
alone. Nothing here reads a byte of an archive or computes a velocity itself.
"""
