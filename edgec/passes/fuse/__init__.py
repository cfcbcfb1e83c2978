"""Fusions: what one TFLite op can do, done by one op."""
