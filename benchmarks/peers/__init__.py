"""velcodec compared with other codecs on the same models in one run: `python -m benchmarks.peers`.

Every codec knows the shape, dtype and range of velocities in advance, and nothing else about the
models; all other bytes that its decoder needs are counted. See docs/peers.md.
"""
