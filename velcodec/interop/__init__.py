"""velcodec inside other libraries: xarray, zarr, numcodecs.

One module for each library, which is an extra of the same name, imported in that module alone.
Nothing here parses archives or computes velocities.
"""
