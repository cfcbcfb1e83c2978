"""A quantized source as it came: what an artifact must equal byte for byte."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from edgec.backends.tflite import serialize
from edgec.driver.feeds import trial_inputs
from edgec.driver.runner import litert_target
from edgec.driver.source import SourceModel
from edgec.errors import MissingExtra, RuntimeFailure
from edgec.ir.dtype import DType
from edgec.ir.graph import Module
from edgec.runtime.isolated import run_isolated
from edgec.target.target import Target

SOURCE_FILE = "the source's own file"
SMALL_INTEGERS = {DType.INT8, DType.UINT8, DType.INT16, DType.UINT16}
MOVING = {"cast", "reshape", "transpose", "gather", "slice", "strided_slice", "concatenation"}  # any type will do
AS_READ = "the source as edgec reads and writes it, before any pass"


@dataclass(frozen=True)
class Original:
    """A source that ran before any pass touched it; `name` says which form of it did.

    `module` names the inputs. `target` is the one whose runtime ran it. `note` says why it is not the file itself,
    where it is not.
    """

    name: str
    data: bytes
    module: Module
    target: Target
    note: str = ""


def runnable_original(source: SourceModel, module: Module, target: Target) -> Original | None:
    """The quantized source in the first form that the target's runtime runs, each tried in a child process.

    `module` is the source as read, untouched. LiteRT refuses some published files that it runs once written anew.
    LiteRT stands in where the target's runtime takes none; None where no form runs at all.
    """
    note = ""
    forms = [(AS_READ, serialize(module))]
    if source.format == "tflite" and not source.shapes:
        forms.insert(0, (SOURCE_FILE, source.path.read_bytes()))
    for name, data in forms:
        try:
            try_out(data, module, target)
        except RuntimeFailure as error:
            note = f"the source's own file could not be run: {error}"
            continue
        return Original(name, data, module, target, note)
    return _in_litert(forms, module, litert_target(target)) if target.runtime != "litert" else None


def _in_litert(forms: list[tuple[str, bytes]], module: Module, target: Target) -> Original | None:
    """The source in LiteRT, where the target's own runtime does not take it (TFLM has no kernels for uint8)."""
    for name, data in forms:
        with contextlib.suppress(RuntimeFailure):
            try_out(data, module, target)
            return Original(f"{name} in LiteRT's own kernels", data, module, target)
    return None


def may_crash(module: Module) -> bool:
    """Whether a runtime should see the module in a child process first.

    LiteRT takes 8- and 16-bit integers for quantized ones; where they have no scale, some of its kernels abort.
    """
    for graph in module.graphs:
        for op in graph.ops:
            small = [v for v in op.operands if v is not None and v.dtype in SMALL_INTEGERS and v.quant is None]
            if small and op.opcode not in MOVING:
                return True
    return False


def try_out(artifact: bytes, module: Module, target: Target) -> None:
    """Run an artifact, `module` as written, once in a child process: there a crash does not end this one.

    In LiteRT both its own kernels and XNNPACK are tried, since checks run in the former.
    Where the runtime is an extra that is not installed, nothing is run; whoever needs the outputs says so.

    Raises:
        RuntimeFailure: the runtime refuses the artifact, fails or crashes.
    """
    inputs = trial_inputs(module)
    with contextlib.suppress(MissingExtra):
        if target.runtime == "litert":
            run_isolated("litert", artifact, inputs, all_kernels=True)
        else:
            run_isolated(target.runtime, artifact, inputs)
