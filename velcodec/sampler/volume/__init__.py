"""The local sampler of volumes: a continuous field of (x, y, z) from samples on a grid."""
