"""MLPerf Tiny's VWW int8 model: dead channels out, bit-identical in TFLM; and the planner on the model as it is.

`edgec compile` removes the channels; MACs are the sum over the report's layers. Outputs of both files are compared in
TFLM on 50 of the shared pictures. `edgec fit` changes no op and gives the planned activations of the original.
"""

import argparse
from pathlib import Path

import numpy as np
from common.edgec_run import compile_model, fit_model
from common.int8_in_tflm import TFLMArtifact
from common.locations import WORK, dataset, shared_model
from common.table import Row, print_machine, print_rows

MACS_BAR, PLAN_BAR, TFLM_GREEDY_BYTES = 4.2e6, 55_296, 73_728


def differing_pictures(ours: Path, original: Path, count: int) -> int:
    """On how many of the first `count` shared pictures any output byte differs in TFLM."""
    pictures = np.load(dataset("vww01/vww01_shared_500.npz"))["x"][:count].astype(np.float32) / np.float32(255)
    left, right = TFLMArtifact(ours), TFLMArtifact(original)
    if (left.input.scale, left.input.zero_point) != (right.input.scale, right.input.zero_point):
        return count
    return sum(left.infer(one).tobytes() != right.infer(one).tobytes() for one in pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="stm32l4r5")
    parser.add_argument("--pictures", type=int, default=50)
    arguments = parser.parse_args()
    model = shared_model("mlperf_tiny/vww_96_int8.tflite")
    print_machine("edgec", "tflite-micro")
    compiled = compile_model(model, WORK / "vww_dead_channels", arguments.device)
    fitted = fit_model(model, arguments.device)
    macs = sum(layer["macs"] for layer in compiled.report["layers"])
    before = sum(layer["macs"] for layer in fitted["layers"])
    flash, flash_before = compiled.report["memory"]["flash_bytes"], fitted["memory"]["flash_bytes"]
    differing = differing_pictures(compiled.artifact, model, arguments.pictures)
    planned = fitted["memory"]["planned_activation_bytes"]
    rows = [
        Row("MACs", f"{macs:,}", f"{before:,}", f"<= {MACS_BAR:,.0f}", macs <= MACS_BAR),
        Row(f"outputs that differ, {arguments.pictures} pictures", str(differing), "", "0", differing == 0),
        Row("artifact bytes", f"{compiled.artifact.stat().st_size:,}", f"{model.stat().st_size:,}"),
        Row("flash", f"{flash:,}", f"{flash_before:,}", "down", flash < flash_before),
        Row("arena, executed", f"{compiled.report['memory']['arena_bytes']:,}", f"{fitted['memory']['arena_bytes']:,}"),
        Row(
            "planned activations of the original (edgec fit)",
            f"{planned:,}",
            f"{TFLM_GREEDY_BYTES:,} (TFLM greedy)",
            f"{PLAN_BAR:,}",
            planned == PLAN_BAR,
        ),
        Row("compile, whole process", f"{compiled.run.seconds:.1f} s, {compiled.run.peak_mib:.0f} MiB"),
    ]
    print_rows("VWW int8: dead channels and memory plan", rows, "as it came")


if __name__ == "__main__":
    main()
