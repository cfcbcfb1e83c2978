"""Legalization: what the target's kernels demand."""
