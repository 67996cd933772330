"""vlqa tells how good a photograph looks, without a reference picture."""
