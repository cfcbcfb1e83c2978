"""`package.module:function`: a function of the user's that returns a network and its example inputs."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from edgec.errors import ImportFailure
from edgec.frontends.torch.network import Shapes, TorchImport, import_network, import_torch, quiet

_SPEC = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_factory(text: str) -> bool:
    """True where `text` has the form `package.module:function` and is no file's name."""
    return _SPEC.fullmatch(text) is not None and not Path(text).exists()


def load_factory(spec: str, shapes: Shapes | None = None, *, unroll: bool = False) -> TorchImport:
    """Import the module, call the function and translate what it returns.

    The function takes no arguments and returns `(network, example_inputs)`. The current folder is searched first, as
    `python -m` does.

    Raises:
        ImportFailure: the module or function is not there, fails, or returns something else.
    """
    import_torch(f"Reading '{spec}'")
    returned = _call(spec)
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise ImportFailure(
            f"Reading '{spec}': the function returned a {type(returned).__name__}; it shall return a pair: the "
            "torch.nn.Module and its example inputs (one tensor, or a tuple of tensors)."
        )
    network, example_inputs = returned
    return import_network(network, example_inputs, spec.rpartition(":")[2], shapes, unroll=unroll)


def _call(spec: str) -> Any:
    module_name, _, attribute = spec.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        with quiet():
            target: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                target = getattr(target, part)
            return target()
    except Exception as error:  # the user's own code runs here
        raise ImportFailure(
            f"Reading '{spec}': importing {module_name} and calling {attribute}() failed with "
            f"{type(error).__name__}: {str(error).strip() or 'no message'}."
        ) from error
    finally:
        if added:
            sys.path.remove(here)
