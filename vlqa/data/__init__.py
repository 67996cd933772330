"""Pictures and labels: decoding, label files, degradations."""
