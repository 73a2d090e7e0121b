"""Smooth models within a bound or in the mean: an integer DCT, RDOQ, and outliers."""
