"""Calibration and evaluation data: manifests, sample sets, metrics and fidelity figures."""
