"""What an artifact costs on a device: MACs, bytes, latency, energy, flash, each figure with its evidence and band."""
