"""Training: configuration, one loop, one objective a file."""
