"""velcodec beside other codecs on the same models, in one run: `python -m benchmarks.peers`.

Every codec knows the shape, the dtype and the range of velocities beforehand and nothing else of
the models; every other byte that its decoder needs is counted. See docs/peers.md.
"""
