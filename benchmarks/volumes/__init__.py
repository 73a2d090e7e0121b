"""velcodec compared with other codecs on volumes: `python -m benchmarks.volumes`.

Every codec knows shape and dtype beforehand; all other bytes that its decoder needs are counted.
Every figure is of what was decoded. See docs/peers.md.
"""
