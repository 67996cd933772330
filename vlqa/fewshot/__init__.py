"""A few opinions: heads on features, what to label, features kept on disk, and which sentences to compare with."""
