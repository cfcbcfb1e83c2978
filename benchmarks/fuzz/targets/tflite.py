"""`.tflite` files: what edgec itself writes for ONNX's operator cases and for models with state, loops and sparsity."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.case import Case
from fuzz.flatbuffer import mutate_offsets, mutate_tree
from fuzz.mutate import mutate_bytes

MAX_SEED_BYTES = 60_000
MAX_SHARED_BYTES = 200_000
SHARED = Path(os.environ.get("EDGEC_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


@cache
def modules() -> tuple[Any, ...]:
    """Translated ONNX cases, one for each set of ops; and quantized ones."""
    from edgec.errors import EdgecError
    from edgec.frontends.onnx import read_onnx
    from fuzz.targets import onnx_model

    found: dict[tuple[str, ...], Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, _ in onnx_model.corpus():
            if model.ByteSize() > 4000:
                continue
            try:
                module = read_onnx(model.SerializeToString())
            except EdgecError:  # not every operator has a translation
                continue
            found.setdefault(tuple(sorted({op.opcode for graph in module.graphs for op in graph.ops})), module)
        network = read_onnx(onnx_model.own_models()[0].SerializeToString())
        found["w8a8",] = _quantized(network)
    return tuple(found.values())


def _quantized(module: Any) -> Any:
    from edgec.quant import QuantOptions, quantize_module
    from edgec.target.load import load_target

    feeds = [{v.name: np.random.default_rng(0).standard_normal(v.shape).astype(np.float32) for v in module.main.inputs}]
    return quantize_module(module, "w8a8", load_target("mobile-cpu"), lambda: iter(feeds), QuantOptions()).module


@cache
def corpus() -> tuple[bytes, ...]:
    """Intact files, small enough to change quickly."""
    from edgec.backends.tflite import serialize

    written = [serialize(module) for module in modules()]
    shared = sorted(SHARED.rglob("*.tflite")) if SHARED.is_dir() else []
    read = [path.read_bytes() for path in shared if path.stat().st_size <= MAX_SHARED_BYTES]
    return (*(data for data in written if len(data) <= MAX_SEED_BYTES), sparse_model(), *read)


def sparse_model() -> bytes:
    """A fully connected layer whose 2x4 weights are stored sparsely."""
    from edgec.schema.writer import write_model

    sparsity = {
        "traversal_order": np.array([0, 1], np.int32), "block_map": None,
        "dim_metadata": [
            {"format": "DENSE", "dense_size": 2},
            {"format": "SPARSE_CSR",
             "array_segments": ("Int32Vector", {"values": np.array([0, 1, 3], np.int32)}),
             "array_indices": ("Uint8Vector", {"values": np.array([2, 0, 3], np.uint8)})},
        ],
    }  # fmt: skip
    tensors = [
        {"shape": [1, 4], "type": "FLOAT32", "buffer": 0, "name": "x"},
        {"shape": [2, 4], "type": "FLOAT32", "buffer": 1, "name": "w", "sparsity": sparsity},
        {"shape": [1, 2], "type": "FLOAT32", "buffer": 0, "name": "y"},
    ]
    op = {"opcode_index": 0, "inputs": [0, 1, -1], "outputs": [2], "builtin_options": ("FullyConnectedOptions", {})}
    graph = {"tensors": tensors, "inputs": [0], "outputs": [2], "operators": [op], "name": "main"}
    code = {"deprecated_builtin_code": 9, "builtin_code": "FULLY_CONNECTED", "version": 8}
    buffers = [{"data": None}, {"data": np.array([1, 2, 3], np.float32)}]
    tree = {"version": 3, "operator_codes": [code], "subgraphs": [graph], "buffers": buffers}
    return bytes(write_model(tree))


@cache
def _words() -> dict[str, tuple[str, ...]]:
    from edgec.schema.tables import ENUMS

    return {name: tuple(values) for name, values in ENUMS.items()}


def random_file(random: Random) -> bytes:
    """Bytes of a file: fields, offsets or plain bytes changed."""
    from edgec.errors import EdgecError
    from edgec.schema.reader import read_model
    from edgec.schema.writer import write_model

    data = random.choice(corpus())
    kind = random.random()
    if kind < 0.25:
        return mutate_offsets(random, data)
    if kind < 0.4:
        return mutate_bytes(random, data, [random.choice(corpus())])
    if kind < 0.43:
        return data
    tree, donor = read_model(data), read_model(random.choice(corpus()))
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        mutate_tree(random, tree, donor, _words())
    try:
        return bytes(write_model(tree))
    except (EdgecError, TypeError, ValueError, KeyError, AttributeError, RecursionError):  # no longer a tree to write
        return mutate_offsets(random, data)


class TfliteTarget:
    """`load_tflite`, the verifier, the writer, the text form, and the reader on what was written."""

    name = "tflite"
    compile_share = 0.0

    def make(self, random: Random) -> Case:
        """A new case."""
        mode = "compile" if random.random() < self.compile_share else "import"
        return Case("model.tflite", {"model.tflite": random_file(random)}, mode=mode)

    def run(self, path: Path, case: Case) -> None:
        """Import, print, write and read back, or compile."""
        if case.mode == "compile":
            from fuzz.targets.onnx_model import compile_file

            compile_file(path)
            return
        from edgec.backends.tflite import serialize
        from edgec.frontends.tflite import load_tflite, read_tflite
        from edgec.ir.printer import print_module
        from edgec.ops import OP_DEFS, verify

        module = load_tflite(path)
        verify(module)
        print_module(module, OP_DEFS, elide_above=16)
        read_tflite(serialize(module))


class TfliteCompileTarget(TfliteTarget):
    """`edgec compile` on every case."""

    name = "tflite-compile"
    compile_share = 1.0
