"""Passes: small, named changes of a module that leave it valid and say truthfully whether they changed it."""
