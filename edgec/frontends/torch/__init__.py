"""The PyTorch front end: torch's own ONNX exporter, and the ONNX front end behind it.

`network` exports a module with example inputs, `archive` makes sure that a `.pt2` runs no code while it is read, and
`factory` calls the function that `package.module:function` names.
"""

from edgec.frontends.torch.archive import load_pt2
from edgec.frontends.torch.factory import is_factory, load_factory
from edgec.frontends.torch.network import TorchImport, import_network, load_torch

__all__ = ["TorchImport", "import_network", "is_factory", "load_factory", "load_pt2", "load_torch"]
