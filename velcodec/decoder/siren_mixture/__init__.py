"""`siren-mixture`, the shipped architecture: its parameters, and one module for each backend."""
