"""Runs a torch network eagerly, the judge of what edgec's translation of it must compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.errors import RuntimeFailure
from edgec.runtime.captured_stderr import one_line
from edgec.runtime.litert import RuntimeVersion
from edgec.runtime.tensor_info import Array


class TorchSession:
    """One torch network in evaluation mode on the CPU, without gradients.

    `spec` is the pytree that makes `(args, kwargs)` of the flat arguments, `inputs` the names of the tensors among them
    and `dtypes` torch's element types; `leaves` are the flat arguments where some are no tensors. A network in training
    mode is put back into it after each run.
    """

    def __init__(
        self, network: Any, spec: Any, inputs: Sequence[str], dtypes: Sequence[Any], leaves: Sequence[Any] = ()
    ) -> None:
        import torch

        self.runtime = RuntimeVersion("torch", torch.__version__)
        self._leaves = tuple(leaves)
        self._network, self._spec, self._inputs, self._dtypes = network, spec, tuple(inputs), tuple(dtypes)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Run once on inputs by name and return every output tensor in order, half precision as float32.

        Raises:
            RuntimeFailure: an input is missing, or the network fails on these inputs.
        """
        import torch
        from torch.utils import _pytree as pytree

        missing = [name for name in self._inputs if name not in feeds]
        if missing:
            raise RuntimeFailure(f"running a torch network: its inputs {missing} were not given")
        tensors = [
            torch.from_numpy(np.array(feeds[name], copy=True)).to(dtype)
            for name, dtype in zip(self._inputs, self._dtypes)
        ]
        flat = iter(tensors)
        leaves = [next(flat) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves] or tensors
        args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        training = [part for part in self._network.modules() if part.training]
        try:
            for part in training:
                part.training = False
            with torch.no_grad():
                returned = self._network(*args, **kwargs)
        except Exception as error:  # the network's own code runs here
            raise RuntimeFailure(f"running a torch network: it failed: {one_line(str(error))}") from error
        finally:
            for part in training:
                part.training = True
        leaves = [leaf for leaf in pytree.tree_leaves(returned) if isinstance(leaf, torch.Tensor)]
        return [_as_array(leaf) for leaf in leaves]


def _as_array(tensor: Any) -> Array:
    import torch

    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    array: Array = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    return array
