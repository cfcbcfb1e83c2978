"""ONNX external data: where a file may point, and where it must not."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.case import Case
from fuzz.mutate import number

BAIT = "/tmp/fuzz-bait"  # what an absolute path would name
DATA = np.arange(64, dtype=np.float32).tobytes()
INSIDE = ("weights.bin", "sub/weights.bin", "./weights.bin", "sub/./weights.bin", "sub//weights.bin", "link.bin")
OUTSIDE = (
    "../bait/secret.bin", "sub/../../bait/secret.bin", "/etc/passwd", "{bait}/secret.bin", "file://{bait}/secret.bin",
    "loop.bin", "out.bin", "outdir/secret.bin", "..", ".", "/", "", "sub", "weights.bin/", "weights.bin\0.txt", "~/x",
    "../model/weights.bin", "C:\\x", "..\\bait\\secret.bin", "sub/..", "/dev/zero", "/proc/self/environ", "a" * 5000,
    "deep/" * 300 + "x", "ｗeights.bin", "weights.bin ", "fifo", "í³¿",
)  # fmt: skip
LINKS = {
    "link.bin": "weights.bin", "out.bin": "../bait/secret.bin", "outdir": "../bait", "loop.bin": "loop.bin",
    "far.bin": "/etc/passwd", "sub/up.bin": "../../bait/secret.bin", "chain.bin": "out.bin", "zero.bin": "/dev/zero",
}  # fmt: skip
KEYS = ("location", "offset", "length", "checksum", "basepath", "", "Location")


class ExternalDataTarget:
    """`load_onnx` of a model whose weights are said to lie elsewhere."""

    name = "onnx-external"

    def make(self, random: Random) -> Case:
        """A new case."""
        model = self._model(random)
        files = {"net.onnx": model.SerializeToString(), "weights.bin": DATA, "sub/weights.bin": DATA}
        return Case("net.onnx", files, LINKS, mode="compile" if random.random() < 0.05 else "import")

    def run(self, path: Path, case: Case) -> None:
        """Import and take all data, or compile."""
        from fuzz.targets.onnx_model import compile_file

        if case.mode == "compile":
            compile_file(path)
            return
        from edgec.backends.tflite import serialize
        from edgec.frontends.onnx import load_onnx

        serialize(load_onnx(path))

    def _model(self, random: Random) -> Any:
        from onnx import TensorProto, helper

        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 16])
        if random.random() < 0.3:
            weight.dims[:] = [number(random) & (1 << 62) - 1 for _ in range(random.randrange(4))]
        if random.random() < 0.2:
            weight.data_type = random.randint(-1, 26)
        weight.data_location = TensorProto.EXTERNAL
        self._point(random, weight)
        info = helper.make_tensor_value_info
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        constants, nodes = [weight], [node]
        kind = random.random()
        if kind < 0.15:  # in a node's own attribute
            nodes = [helper.make_node("Constant", [], ["w"], value=weight), node]
            constants = []
        elif kind < 0.3:  # in a subgraph
            outputs = [info("o", TensorProto.FLOAT, None)]
            branch = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["o"])], "b", [], outputs, [weight])
            condition = TensorProto(name="c", data_type=TensorProto.BOOL, raw_data=b"\1")
            nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
            constants = [condition]
        graph = helper.make_graph(
            nodes, "g", [info("x", TensorProto.FLOAT, [1, 4])], [info("y", TensorProto.FLOAT, None)], constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if random.random() < 0.1:
            sparse = model.graph.sparse_initializer.add()
            sparse.values.CopyFrom(weight)
            sparse.indices.CopyFrom(weight)
        return model

    def _point(self, random: Random, weight: Any) -> None:
        fields = {"location": random.choice(INSIDE if random.random() < 0.3 else (*OUTSIDE, *LINKS))}
        if random.random() < 0.5:
            fields["offset"] = str(number(random))
        if random.random() < 0.5:
            fields["length"] = str(number(random)) if random.random() < 0.6 else "256"
        if random.random() < 0.1:
            fields["offset"] = random.choice(("", "x", "1e3", "0x10", "9" * 5000, " 4", "٣", "1_0", "-0"))
        for key, value in fields.items():
            key = random.choice(KEYS) if random.random() < 0.05 else key
            weight.external_data.add(key=key, value=value.replace("{bait}", BAIT))
        if random.random() < 0.05:
            weight.raw_data = DATA
