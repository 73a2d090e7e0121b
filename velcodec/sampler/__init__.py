"""The local sampler: a continuous field from samples on a grid."""
