"""Layout: where transposes go and how they cancel."""
