"""edgec compiles a trained network for one device: model, device and budget in, a proven `.tflite` and its report out.

The public names are imported when they are first used, so that `import edgec` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgec.driver import CompileOptions, CompileResult, compile_model
    from edgec.errors import EdgecError
    from edgec.target.load import load_device, load_target

__version__ = "0.1.0"

__all__ = ["CompileOptions", "CompileResult", "EdgecError", "compile_model", "load_device", "load_target"]

_HOMES = {
    "CompileOptions": "edgec.driver",
    "CompileResult": "edgec.driver",
    "EdgecError": "edgec.errors",
    "compile_model": "edgec.driver",
    "load_device": "edgec.target.load",
    "load_target": "edgec.target.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgec' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
