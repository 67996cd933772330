"""Pictures for encoders that learn without labels: degradation spaces, views, and a data set for each pretext task."""
