"""The zoo's torch networks to fp32 .tflite: ops, TRANSPOSE ops, error against torch, seconds.

Run it where PyTorch, onnxscript and edgec are installed. All networks of one run share the process, so that torch's
start-up is paid once; seconds are those of `compile_model` without checks, of which torch's exporter takes most.
`--efficientnet` measures instead the whole process on the pretrained EfficientNet-Lite0 against litert-torch's.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common.edgec_run import compile_command
from common.locations import REPOSITORY, WORK
from common.peers import convert_with_litert_torch
from common.process import median_peak_mib, median_seconds, run
from common.table import NOT_INSTALLED, Row, print_machine, print_rows, print_table
from numpy.typing import NDArray

ERROR_BAR = 1e-4
TIME_BAR = 0.5
# The heads of attention are transposes of the network's own.
OWN_TRANSPOSES = ("vit", "gpt")
SAMPLES = 3
Array = NDArray[Any]


def span_error(found: Array, expected: Array) -> float:
    """Largest difference over the span of the expected values and zero."""
    if not np.isfinite(found).all():
        return float("inf")
    span = float(max(expected.max(), 0) - min(expected.min(), 0))
    return float(np.abs(found.astype(np.float64) - expected).max()) / (span or 1.0)


def samples(example: Any, tokens: int) -> list[Array]:
    """The example input and seeded ones like it."""
    generator = np.random.default_rng(0)
    first = example.numpy()
    if tokens:
        return [first, *(generator.integers(0, tokens, first.shape) for _ in range(SAMPLES - 1))]
    return [first, *(generator.standard_normal(first.shape).astype(first.dtype) for _ in range(SAMPLES - 1))]


def worst_error(network: Any, result: Any, inputs: Sequence[Array]) -> float:
    """The artifact in LiteRT with XNNPACK against the network in torch."""
    import torch
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=result.artifact, num_threads=2)
    interpreter.allocate_tensors()
    details, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    worst = 0.0
    for array in inputs:
        with torch.no_grad():
            expected = network(torch.from_numpy(array)).numpy()
        name = result.module.main.inputs[0].name
        ours = array.transpose(result.module.input_layout.get(name, range(array.ndim))).astype(details["dtype"])
        interpreter.set_tensor(details["index"], np.ascontiguousarray(ours))
        interpreter.invoke()
        found = interpreter.get_tensor(given["index"])
        output = result.module.main.outputs[0].name
        expected = expected.transpose(result.module.output_layout.get(output, range(expected.ndim)))
        worst = max(worst, span_error(found, expected))
    return worst


def compare(name: str) -> list[str]:
    """One line of the table."""
    from zoo import build, networks

    from edgec import CompileOptions, EdgecError, compile_model

    entry = networks()[name]
    network, example = build(entry)
    started = time.perf_counter()
    try:
        result = compile_model(network, CompileOptions("pixel4", scheme="fp32", example_inputs=example, check=False))
    except EdgecError as error:
        return [name, "", "", "", "NO", str(error)[:160]]
    seconds = time.perf_counter() - started
    ops = [op.opcode for op in result.module.main.ops]
    transposes = ops.count("transpose")
    error = worst_error(network, result, samples(example[0], entry.tokens))
    own = any(part in name for part in OWN_TRANSPOSES)
    holds = error <= ERROR_BAR and (own or not transposes)
    return [name, str(len(ops)), str(transposes), f"{error:.1e}", "yes" if holds else "NO", f"{seconds:.1f} s"]


def whole_process(repetitions: int) -> list[Row]:
    """EfficientNet-Lite0 from torch to fp32 .tflite, in processes of their own, in turn with litert-torch."""
    output = WORK / "efficientnet_torch"
    ours = compile_command(
        Path("zoo.pretrained:efficientnet_lite0"), output, "pixel4", "--scheme", "fp32", "--no-check"
    )
    path = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{Path(__file__).parent}"}
    runs, peers = [], []
    for _ in range(repetitions):
        runs.append(run(ours, extra_environment=path))
        peer = convert_with_litert_torch(WORK / "efficientnet_litert_torch.tflite")
        peers += [] if peer is None else [peer]
    seconds = median_seconds(runs)
    if not peers:
        return [Row("whole process", f"{seconds:.2f} s", NOT_INSTALLED, f"<= {TIME_BAR} x")]
    theirs = median_seconds(peers)
    memory = (f"{median_peak_mib(runs):.0f} MiB", f"{median_peak_mib(peers):.0f} MiB")
    what = f"whole process ({seconds / theirs:.2f} x)"
    held = seconds <= TIME_BAR * theirs
    return [Row(what, f"{seconds:.2f} s", f"{theirs:.2f} s", f"<= {TIME_BAR} x", held), Row("peak memory", *memory)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks of the zoo (default: one of each family)")
    parser.add_argument("--all", action="store_true", help="every width and size, too")
    parser.add_argument("--efficientnet", action="store_true", help="time the whole process against litert-torch")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    print_machine("edgec", "ai-edge-litert", "torch", "onnxscript", "onnx")
    if arguments.efficientnet:
        print_rows("EfficientNet-Lite0, torch to fp32 .tflite", whole_process(arguments.repetitions), "litert-torch")
        return
    from zoo import networks

    chosen = arguments.names or [n for n, entry in networks().items() if entry.core or arguments.all]
    lines = []
    for name in chosen:
        lines.append(compare(name))
        print(*lines[-1], file=sys.stderr, flush=True)
    print_table("torch to fp32 .tflite", ("network", "ops", "transposes", "max error", "holds", "seconds"), lines)


if __name__ == "__main__":
    main()
