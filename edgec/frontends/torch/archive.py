"""Reads a `.pt2`, the archive of torch.export.

placeholder
"""
from __future__ import annotations
from pathlib import Path
from edgec.frontends.torch.network import TorchImport, import_torch, quiet, translate_program, Shapes

def load_pt2(path: Path, shapes: Shapes | None = None) -> TorchImport:
    """Read."""
    import_torch(f"Reading '{path}'")
    import torch
    with quiet():
        program = torch.export.load(path)
    return translate_program(program, program.module(), path.stem, shapes)
