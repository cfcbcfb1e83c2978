"""EfficientNet-Lite0, ONNX to fp32 .tflite: time and memory against onnx2tf, ops and latency against litert-torch.

Whole processes, started in turn (edgec, onnx2tf, edgec, …), medians; peak memory is the resident set of the largest
process. edgec runs with `--no-check`, and once more with its checks against the source, shown apart. Latency is
LiteRT's with XNNPACK, one invocation of each artifact in turn, medians.
"""

import argparse
from pathlib import Path

import numpy as np
from common.artifact import Artifact, count_ops, interleaved_latency_ms
from common.edgec_run import compile_command
from common.imagenet import load_pictures
from common.locations import EFFICIENTNET_LITERT_TORCH, EFFICIENTNET_ONNX, WORK, existing
from common.peers import convert_with_litert_torch, fresh_copy, onnx2tf_command
from common.process import Run, alternate, median_peak_mib, median_seconds
from common.table import NOT_INSTALLED, Row, print_machine, print_rows

TIME_BAR, MEMORY_BAR, LATENCY_BAR, OPS_BAR = 0.5, 1.0, 1.02, 60


def measure_processes(model: Path, repetitions: int) -> tuple[list[Run], list[Run], list[Run] | None]:
    """Runs of edgec without checks, edgec with checks, and onnx2tf (None where not installed)."""
    copies = WORK / "onnx2tf_input"
    ours = compile_command(model, WORK / "efficientnet_fp32", "pixel4", "--scheme", "fp32", "--no-check")
    checked = compile_command(model, WORK / "efficientnet_fp32_checked", "pixel4", "--scheme", "fp32")
    theirs = onnx2tf_command(copies / model.name, WORK / "efficientnet_onnx2tf")
    commands = [ours] if theirs is None else [ours, theirs]
    alternate(commands, 1, lambda: fresh_copy(model, copies))  # one run each to fill the page cache, not counted
    runs = alternate(commands, repetitions, lambda: fresh_copy(model, copies))
    return runs[0], alternate([checked], max(1, repetitions // 2))[0], runs[1] if theirs is not None else None


def process_rows(ours: list[Run], checked: list[Run], peer: list[Run] | None) -> list[Row]:
    """Time and memory of the whole processes against onnx2tf."""
    seconds, memory = median_seconds(ours), median_peak_mib(ours)
    rows = []
    if peer is None:
        rows += [
            Row("import, whole process", f"{seconds:.2f} s", NOT_INSTALLED, f"<= {TIME_BAR} x onnx2tf"),
            Row("import, peak memory", f"{memory:.0f} MiB", NOT_INSTALLED, "<= onnx2tf"),
        ]
    else:
        time_ratio, memory_ratio = seconds / median_seconds(peer), memory / median_peak_mib(peer)
        rows += [
            Row(
                f"import, whole process ({time_ratio:.2f} x)",
                f"{seconds:.2f} s",
                f"{median_seconds(peer):.2f} s",
                f"<= {TIME_BAR} x onnx2tf",
                time_ratio <= TIME_BAR,
            ),
            Row(
                f"import, peak memory ({memory_ratio:.2f} x)",
                f"{memory:.0f} MiB",
                f"{median_peak_mib(peer):.0f} MiB",
                "<= onnx2tf",
                memory_ratio <= MEMORY_BAR,
            ),
        ]
    with_checks = f"{median_seconds(checked):.2f} s, {median_peak_mib(checked):.0f} MiB"
    return [*rows, Row("the same with checks against the source", with_checks)]


def op_rows(ours: Path, peer: Path | None) -> list[Row]:
    """Ops of our artifact against litert-torch's."""
    mine = count_ops(ours)
    theirs = None if peer is None else count_ops(peer)

    def row(what: str, name: str | None, bar: int, text: str) -> Row:
        count = mine.total() if name is None else mine[name]
        other = NOT_INSTALLED if theirs is None else str(theirs.total() if name is None else theirs[name])
        return Row(what, str(count), other, text, count <= bar)

    rows = [
        row("ops", None, OPS_BAR, f"<= {OPS_BAR}"),
        row("TRANSPOSE ops", "TRANSPOSE", 0, "0"),
        row("PAD ops", "PAD", 0, "0 that conv padding can express"),
    ]
    return [*rows, Row("ops by name", ", ".join(f"{name} {count}" for name, count in mine.most_common()))]


def latency_rows(ours: Path, peer: Path | None, rounds: int) -> list[Row]:
    """Latency with one and two threads against litert-torch's artifact."""
    rows = []
    for threads in (1, 2):
        times = interleaved_latency_ms([ours] if peer is None else [ours, peer], threads, rounds)
        if peer is None:
            rows.append(Row(f"latency, {threads} threads", f"{times[0]:.2f} ms", NOT_INSTALLED))
            continue
        ratio = times[0] / times[1]
        what = f"latency, {threads} threads ({ratio:.3f} x)"
        bar = f"<= {LATENCY_BAR} x litert-torch"
        rows.append(Row(what, f"{times[0]:.2f} ms", f"{times[1]:.2f} ms", bar, ratio <= LATENCY_BAR))
    return rows


def difference_row(ours: Path, source: Path, samples: int = 16) -> Row:
    """Largest distance of our artifact's logits from onnxruntime's on some pictures, relative to their range."""
    import onnxruntime

    inputs = load_pictures().efficientnet_inputs()[:samples]
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    feeds = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    expected = np.concatenate([session.run(None, {"image": feeds[i : i + 1]})[0] for i in range(samples)])
    error = np.abs(Artifact(ours).infer_all(inputs) - expected).max() / np.ptp(expected)
    return Row(f"max error against onnxruntime, {samples} pictures", f"{error:.1e} of range")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EFFICIENTNET_ONNX)
    parser.add_argument("--repetitions", type=int, default=5, help="of each process (default 5)")
    parser.add_argument("--rounds", type=int, default=100, help="of the latency comparison (default 100)")
    parser.add_argument("--litert-torch", type=Path, default=EFFICIENTNET_LITERT_TORCH, help="its artifact")
    parser.add_argument("--convert-litert-torch", action="store_true", help="make that artifact now, and time it")
    arguments = parser.parse_args()
    existing(arguments.model, "make it with benchmarks/export_efficientnet_lite0.py")
    print_machine("edgec", "ai-edge-litert", "onnx", "onnxruntime")
    rows = process_rows(*measure_processes(arguments.model, arguments.repetitions))
    if arguments.convert_litert_torch:
        made = convert_with_litert_torch(arguments.litert_torch)
        said = NOT_INSTALLED if made is None else f"{made.seconds:.1f} s, {made.peak_mib:.0f} MiB"
        rows.append(Row("litert-torch, whole process", "", said))
    artifact = WORK / "efficientnet_fp32" / "model.tflite"
    peer = arguments.litert_torch if arguments.litert_torch.exists() else None
    rows += [*op_rows(artifact, peer), *latency_rows(artifact, peer, arguments.rounds)]
    rows.append(difference_row(artifact, arguments.model))
    print_rows("EfficientNet-Lite0, ONNX to fp32 .tflite", rows, "onnx2tf / litert-torch")


if __name__ == "__main__":
    main()
