"""Channels: in which order tensors hold them, and how they get from one tensor to another."""
