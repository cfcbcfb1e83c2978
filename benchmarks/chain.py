"""A synthetic chain of 1,000 and of 10,000 ops: read, passes, write; times and how they grow.

The chain repeats convolution, relu, depthwise convolution, multiplication by a constant, residual addition, all with
weights of their own, so that the passes have work in every link. Reading and writing are timed in this process; the
passes' seconds are those of report.json of `edgec compile`, whose whole process (with cost, memory plan and report) is
shown too.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from common.artifact import count_ops
from common.edgec_run import compile_model
from common.locations import WORK
from common.table import Row, print_machine, print_rows
from numpy.typing import NDArray

from edgec.backends.tflite import serialize
from edgec.frontends.tflite import load_tflite
from edgec.ir import DType, Graph, Module, TensorType, Value
from edgec.ir.builder import Builder
from edgec.ops import build

SECONDS_BAR = 20.0
GROWTH_BAR = 1.2  # seconds ~ ops ** growth; 1 is linear
SIDE, CHANNELS = 4, 8


@dataclass(frozen=True)
class Times:
    """Seconds of each step for a chain of `ops` ops."""

    ops: int
    ops_after: int
    read: float
    passes: float
    write: float
    process: float
    process_mib: float

    @property
    def total(self) -> float:
        """Read, passes and write."""
        return self.read + self.passes + self.write


def build_chain(ops: int) -> Module:
    """A module whose main graph is a chain of `ops` ops on a [1, 4, 4, 8] float32 activation."""
    graph = Graph()
    image = graph.add_input("image", TensorType((1, SIDE, SIDE, CHANNELS), DType.FLOAT32))
    builder, generator = build(graph), np.random.default_rng(0)
    value = shortcut = image
    for index in range(ops):
        value, shortcut = _link(builder, generator, index, value, shortcut)
    graph.outputs = [value]
    return Module([graph])


def _link(
    builder: Builder, generator: np.random.Generator, index: int, value: Value, shortcut: Value
) -> tuple[Value, Value]:
    """Op number `index` of the chain, and the value that the next residual addition takes."""
    kind = index % 5
    if kind == 0:
        weight = builder.constant(_normal(generator, (CHANNELS, 1, 1, CHANNELS), 0.2))
        bias = builder.constant(_normal(generator, (CHANNELS,), 0.1))
        return builder.emit("conv_2d", [value, weight, bias], padding="SAME", stride_h=1, stride_w=1), value
    if kind == 1:
        return builder.emit("relu", [value]), shortcut
    if kind == 2:
        weight = builder.constant(_normal(generator, (1, 3, 3, CHANNELS), 0.2))
        bias = builder.constant(_normal(generator, (CHANNELS,), 0.1))
        operands = [value, weight, bias]
        result = builder.emit("depthwise_conv_2d", operands, padding="SAME", stride_h=1, stride_w=1, depth_multiplier=1)
        return result, shortcut
    if kind == 3:
        return builder.emit("mul", [value, builder.constant(_normal(generator, (CHANNELS,), 0.3))]), shortcut
    return builder.emit("add", [value, shortcut]), value


def _normal(generator: np.random.Generator, shape: tuple[int, ...], deviation: float) -> NDArray[np.float32]:
    return (deviation * generator.standard_normal(shape)).astype(np.float32)


def measure(ops: int, device: str) -> Times:
    """Build the chain, write it, read it back, and compile it."""
    folder = WORK / f"chain_{ops}"
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "chain.tflite"
    source.write_bytes(serialize(build_chain(ops)))
    started = time.perf_counter()
    module = load_tflite(source)
    read = time.perf_counter() - started
    started = time.perf_counter()
    serialize(module)
    write = time.perf_counter() - started
    compiled = compile_model(source, folder / "out", device, ["--scheme", "fp32", "--no-check"])
    passes = sum(one["seconds"] for one in compiled.report["passes"])
    after = count_ops(compiled.artifact).total()
    return Times(ops, after, read, passes, write, compiled.run.seconds, compiled.run.peak_mib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="pixel4")
    parser.add_argument("--ops", type=int, nargs=2, default=(1_000, 10_000), help="two lengths, the shorter one first")
    arguments = parser.parse_args()
    print_machine("edgec", "numpy")
    short, long = (measure(ops, arguments.device) for ops in arguments.ops)
    factor = long.ops / short.ops

    def row(what: str, name: str, bar: str = "", holds: bool | None = None) -> Row:
        small, large = getattr(short, name), getattr(long, name)
        growth = np.log(large / small) / np.log(factor)
        return Row(f"{what} (growth {growth:.2f})", f"{large:.2f} s", f"{small:.3f} s", bar, holds)

    growth = float(np.log(long.total / short.total) / np.log(factor))
    rows = [
        row("read", "read"),
        row("passes", "passes"),
        row("write", "write"),
        row("read, passes, write", "total", f"<= {SECONDS_BAR:.0f} s", long.total <= SECONDS_BAR),
        Row("growth: seconds ~ ops ** g", f"{growth:.2f}", "", f"<= {GROWTH_BAR} (1 is linear)", growth <= GROWTH_BAR),
        row("edgec compile, whole process", "process"),
        Row("its peak memory", f"{long.process_mib:.0f} MiB", f"{short.process_mib:.0f} MiB"),
        Row("ops after the passes", f"{long.ops_after:,}", f"{short.ops_after:,}"),
    ]
    print_rows(f"Chain of {long.ops:,} ops (second column: {short.ops:,})", rows, f"{short.ops:,} ops")


if __name__ == "__main__":
    main()
