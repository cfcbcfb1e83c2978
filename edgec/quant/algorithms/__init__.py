"""Ways to lose less accuracy than rounding to nearest does."""
