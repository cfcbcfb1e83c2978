"""Clean-ups that keep an op's meaning: folding, dead code, identities, duplicates."""
