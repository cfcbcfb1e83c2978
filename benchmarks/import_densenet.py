"""DenseNet-121 of the onnx wheel (light_densenet121.onnx), ONNX to fp32 .tflite: time and memory against onnx2tf.

Whole processes, started in turn (edgec, onnx2tf, edgec, …) after one uncounted run of each; medians. The light file
makes its weights by ConstantOfShape; `--random-weights` fills them with seeded noise first, 32 MB of it, as a real
DenseNet has. `--checked` adds edgec's checks against onnxruntime to its time.
"""

import argparse
from pathlib import Path

from common.artifact import count_ops
from common.edgec_run import compile_command
from common.locations import WORK
from common.peers import fresh_copy, onnx2tf_command
from common.process import Run, alternate, median_peak_mib, median_seconds
from common.random_weights import write_with_random_weights
from common.table import NOT_INSTALLED, Row, print_machine, print_rows

SECONDS_BAR = 2.0


def light_densenet() -> Path:
    """The file that the onnx wheel brings."""
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_densenet121.onnx"


def rows(ours: list[Run], theirs: list[Run], artifact: Path) -> list[Row]:
    """Time, memory and ops."""
    seconds = median_seconds(ours)
    peer = (f"{median_seconds(theirs):.2f} s", f"{median_peak_mib(theirs):.0f} MiB") if theirs else (NOT_INSTALLED,) * 2
    ops = count_ops(artifact)
    return [
        Row("whole process", f"{seconds:.2f} s", peer[0], f"<= {SECONDS_BAR:g} s", seconds <= SECONDS_BAR),
        Row("peak memory", f"{median_peak_mib(ours):.0f} MiB", peer[1]),
        Row("ops", f"{ops.total()}, of which TRANSPOSE {ops['TRANSPOSE']}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--random-weights", action="store_true", help="noise for the weights instead of one value")
    parser.add_argument("--checked", action="store_true", help="with edgec's checks against the source")
    arguments = parser.parse_args()
    print_machine("edgec", "ai-edge-litert", "onnx", "onnxruntime")
    model = light_densenet()
    if arguments.random_weights:
        model = write_with_random_weights(model, WORK / "random_weights")
    output, copies = WORK / "densenet121_fp32", WORK / "onnx2tf_input"
    options = ["--scheme", "fp32", *([] if arguments.checked else ["--no-check"])]
    peer = onnx2tf_command(copies / model.name, WORK / "densenet121_onnx2tf")
    commands = [compile_command(model, output, "pixel4", *options), *([peer] if peer else [])]
    alternate(commands, 1, lambda: fresh_copy(model, copies))
    ours, *theirs = alternate(commands, arguments.repetitions, lambda: fresh_copy(model, copies))
    table = rows(ours, theirs[0] if theirs else [], output / "model.tflite")
    print_rows(f"{model.stem}, ONNX to fp32 .tflite", table, "onnx2tf")


if __name__ == "__main__":
    main()
