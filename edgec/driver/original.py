"""A quantized source as it came: what an artifact must equal byte for byte."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from edgec.backends.tflite import serialize
from edgec.driver.source import SourceModel
from edgec.errors import MissingExtra, RuntimeFailure
from edgec.ir.graph import Module
from edgec.runtime.isolated import run_isolated
from edgec.target.target import Target

SOURCE_FILE = "the source's own file"
AS_READ = "the source as edgec reads and writes it, before any pass"


@dataclass(frozen=True)
class Original:
    """A source that ran on the target's runtime before any pass touched it; `name` says which form of it did.

    `module` names the inputs. `note` says why it is not the file itself, where it is not.
    """

    name: str
    data: bytes
    module: Module
    note: str = ""


def runnable_original(source: SourceModel, module: Module, target: Target) -> Original | None:
    """The quantized source in the first form that the target's runtime runs, each tried in a child process.

    `module` is the source as read, untouched. LiteRT refuses some published files that it runs once written anew.
    None where no form runs.
    """
    note = ""
    forms = [(AS_READ, serialize(module))]
    if source.format == "tflite":
        forms.insert(0, (SOURCE_FILE, source.path.read_bytes()))
    for name, data in forms:
        try:
            try_out(data, target)
        except RuntimeFailure as error:
            note = f"the source's own file could not be run: {error}"
            continue
        return Original(name, data, module, note)
    return None


def try_out(artifact: bytes, target: Target) -> None:
    """Run an artifact once in a child process, where a crash of the runtime does not end this one.

    Where the runtime is an extra that is not installed, nothing is run; whoever needs the outputs says so.

    Raises:
        RuntimeFailure: the runtime refuses the artifact, fails or crashes.
    """
    with contextlib.suppress(MissingExtra):
        run_isolated(target.runtime, artifact, [])
