"""Predictors: ordinary images in, quality out."""
