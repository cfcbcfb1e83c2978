"""Compression that removes what a network can do without: dead channels exactly, weak channels by rank."""
