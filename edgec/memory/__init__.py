"""Activation memory: order the ops, find how long each tensor lives, place the tensors, prove that none overlap."""
