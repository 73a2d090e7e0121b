"""`siren-mixture`, the shipped architecture: parameters, and one module for each backend."""
