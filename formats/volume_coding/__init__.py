"""A volume's samples as bytes: a table of bricks, and a stream for each (docs/format-volumes.md).

`stream` packs and reads records; `coder` turns the integers of a brick to a stream and back, and is
compiled by numba, which is slow to import; `choice` is what an encoder may choose.
"""
