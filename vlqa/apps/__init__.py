"""Applications over the library."""
