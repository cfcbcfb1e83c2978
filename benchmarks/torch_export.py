"""EfficientNet-Lite0 and MobileNetV2, PyTorch to fp32 .tflite with edgec and with litert-torch, in one run.

Run it where PyTorch, onnxscript and edgec are installed. Both networks carry their published weights. Whole processes
start in turn (edgec, litert-torch, edgec, …), after one uncounted run of each; medians. Latency is LiteRT's with
XNNPACK, one invocation of each artifact in turn. The error of both artifacts is that against the network itself, run
eagerly in torch on some of the shared pictures, over the span of its outputs.
"""

import argparse
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common.artifact import Artifact, count_ops, interleaved_latency_ms
from common.edgec_run import compile_command
from common.imagenet import load_pictures
from common.locations import REPOSITORY, WORK
from common.peers import litert_torch_command
from common.process import Run, alternate, median_peak_mib, median_seconds
from common.scores import top1_percent
from common.table import NOT_INSTALLED, Row, print_machine, print_rows
from numpy.typing import NDArray

TIME_BAR, LATENCY_BAR, ERROR_BAR = 0.5, 1.02, 1e-4
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of torchvision's networks
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """What both tools made of one network: their processes and artifacts; `peer` is None where not installed."""

    network: str
    runs: list[Run]
    artifact: Path
    peer_runs: list[Run]
    peer: Path | None


def export(network: str, repetitions: int) -> Pair:
    """Export with both tools, in turn, in processes of their own."""
    folder = WORK / f"torch_{network}"
    theirs_path = WORK / f"torch_{network}_litert_torch.tflite"
    ours = compile_command(Path(f"zoo.pretrained:{network}"), folder, "pixel4", "--scheme", "fp32", "--no-check")
    theirs = litert_torch_command(network, theirs_path)
    os.environ["PYTHONPATH"] = f"{REPOSITORY}{os.pathsep}{Path(__file__).parent}"
    commands = [ours] if theirs is None else [ours, theirs]
    alternate(commands, 1)
    runs = alternate(commands, repetitions)
    peer = None if theirs is None else theirs_path
    return Pair(network, runs[0], folder / "model.tflite", runs[1] if peer else [], peer)


def process_rows(pair: Pair) -> list[Row]:
    """Wall time and peak memory of the whole processes."""
    seconds, memory = median_seconds(pair.runs), f"{median_peak_mib(pair.runs):.0f} MiB"
    bar = f"<= {TIME_BAR} x"
    if pair.peer is None:
        return [Row("whole process", f"{seconds:.2f} s", NOT_INSTALLED, bar), Row("peak memory", memory, NOT_INSTALLED)]
    ratio = seconds / median_seconds(pair.peer_runs)
    theirs = f"{median_seconds(pair.peer_runs):.2f} s"
    return [
        Row(f"whole process ({ratio:.2f} x)", f"{seconds:.2f} s", theirs, bar, ratio <= TIME_BAR),
        Row("peak memory", memory, f"{median_peak_mib(pair.peer_runs):.0f} MiB"),
    ]


def artifact_rows(pair: Pair) -> list[Row]:
    """Ops and size of both artifacts."""
    mine = count_ops(pair.artifact)
    theirs = None if pair.peer is None else count_ops(pair.peer)

    def row(what: str, name: str | None, limit: int | None) -> Row:
        count, other = total(mine, name), None if theirs is None else total(theirs, name)
        limit = other if limit is None else limit
        bar = "" if limit is None else f"<= {limit}"
        return Row(what, str(count), NOT_INSTALLED if other is None else str(other), bar,
                   None if limit is None else count <= limit)  # fmt: skip

    sizes = [f"{path.stat().st_size:,} B" if path else NOT_INSTALLED for path in (pair.artifact, pair.peer)]
    rows = [row("ops", None, None), row("TRANSPOSE", "TRANSPOSE", 0), row("PAD", "PAD", None), Row("file", *sizes)]
    return [*rows, Row("ops by name", named(mine), "" if theirs is None else named(theirs))]


def total(ops: Counter[str], name: str | None) -> int:
    """How many ops there are of a name, PAD and PADV2 alike; of any name for None."""
    if name is None:
        return ops.total()
    return ops[name] + ops[f"{name}V2"]


def named(ops: Counter[str]) -> str:
    """The ops, most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in ops.most_common())


def latency_rows(pair: Pair, rounds: int) -> list[Row]:
    """Latency with one and two threads."""
    rows = []
    for threads in (1, 2):
        times = interleaved_latency_ms([pair.artifact, *([pair.peer] if pair.peer else [])], threads, rounds)
        what = f"latency, {threads} thread{'s' * (threads > 1)}"
        if pair.peer is None:
            rows.append(Row(what, f"{times[0]:.2f} ms", NOT_INSTALLED))
            continue
        ratio = times[0] / times[1]
        bar = f"<= {LATENCY_BAR} x"
        texts = [f"{one:.2f} ms" for one in times]
        rows.append(Row(f"{what} ({ratio:.3f} x)", *texts, bar, ratio <= LATENCY_BAR))
    return rows


def difference_rows(pair: Pair, pictures: int) -> list[Row]:
    """Error of both artifacts against torch, and torch's top-1, which shows that the weights are where they belong."""
    import torch
    from zoo import pretrained

    network, _ = getattr(pretrained, pair.network)()
    shared = load_pictures()
    inputs = samples(pair.network, shared)[:pictures]
    with torch.no_grad():
        expected = network(torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))).numpy()
    errors = [span_error(path, inputs, expected) if path else None for path in (pair.artifact, pair.peer)]
    ours, theirs = (NOT_INSTALLED if error is None else f"{error:.1e}" for error in errors)
    holds = errors[0] is not None and errors[0] <= ERROR_BAR
    top1 = top1_percent(expected, shared.labels[:pictures])
    return [
        Row(f"max error against torch, {pictures} pictures", ours, theirs, f"<= {ERROR_BAR:.0e} of span", holds),
        Row(f"torch's top-1 of these {pictures}", f"{top1:.1f} %"),
    ]


def samples(network: str, pictures: Any) -> Array:
    """The shared pictures as the network takes them, NHWC."""
    if network.startswith("efficientnet"):
        return pictures.efficientnet_inputs()
    pixels = pictures.pixels.astype(np.float32) / np.float32(255)
    scaled: Array = ((pixels - np.float32(MEAN)) / np.float32(DEVIATION)).astype(np.float32)
    return scaled


def span_error(artifact: Path, inputs: Array, expected: Array) -> float:
    """Largest difference over the span of the expected values."""
    return float(np.abs(Artifact(artifact).infer_all(inputs) - expected).max() / np.ptp(expected))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["efficientnet_lite0", "mobilenet_v2"])
    parser.add_argument("--repetitions", type=int, default=3, help="of each process (default 3)")
    parser.add_argument("--rounds", type=int, default=200, help="of the latency comparison (default 200)")
    parser.add_argument("--pictures", type=int, default=32, help="for the error against torch (default 32)")
    arguments = parser.parse_args()
    print_machine("edgec", "ai-edge-litert", "torch", "onnxscript", "onnx")
    for network in arguments.networks:
        pair = export(network, arguments.repetitions)
        rows = [*process_rows(pair), *artifact_rows(pair), *latency_rows(pair, arguments.rounds)]
        rows += difference_rows(pair, arguments.pictures)
        print_rows(f"{network}, PyTorch to fp32 .tflite", rows, "litert-torch")


if __name__ == "__main__":
    main()
