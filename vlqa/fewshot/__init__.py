"""A predictor for one's own notion of quality from few labels, and what goes with it."""
