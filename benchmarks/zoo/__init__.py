"""Networks of the literature in plain torch (no torchvision), seeded random weights: what people bring to a compiler.

`networks()` names them all; each builder returns the network in evaluation mode and its example inputs.
"""

from zoo.registry import Entry, build, networks

__all__ = ["Entry", "build", "networks"]
