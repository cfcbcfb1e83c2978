"""Compiles the bundled network for a Raspberry Pi, a phone and a microcontroller, and prints the three verdicts.

Run by `make demo`. Artifacts and reports are written to out/demo/DEVICE/.
"""

import sys
import time
from pathlib import Path

from edgec import CompileOptions, compile_model
from edgec.report.figures import bytes_text, ms_text
from edgec.target.budget import parse_budget

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "calibration"
OUT = HERE.parent / "out" / "demo"
BUDGETS = {
    "rpi4": "latency=2ms,ram=1MiB,accuracy-drop=1%",
    "pixel4": "latency=1ms,ram=1MiB,accuracy-drop=1%",
    "stm32l4r5": "latency=100ms,ram=32KiB,flash=512KiB,accuracy-drop=1%",
}


def main() -> int:
    """Compile for each device; the status is 0 where no budget line is missed."""
    missed = False
    for device, budget in BUDGETS.items():
        start = time.perf_counter()
        options = CompileOptions(
            device=device,
            budget=parse_budget(budget),
            calibration=SAMPLES / "digits.toml",
            eval=SAMPLES / "digits_eval.toml",
        )
        result = compile_model(HERE / "digits.onnx", options)
        result.write(OUT / device)
        report = result.report
        missed |= report.verdict == "misses"
        print(f"{device} ({report.device.title}), budget {budget}: {report.verdict.upper()}")
        print(
            f"  {report.artifact.scheme}, {bytes_text(report.artifact.bytes)}, latency {ms_text(report.latency.ms)} "
            f"({ms_text(report.latency.low_ms)} to {ms_text(report.latency.high_ms)}, {report.latency.evidence}), "
            f"compiled in {time.perf_counter() - start:.1f} s"
        )
        for line in report.budget:
            print(f"    {line.name}: {line.verdict} ({line.evidence})")
        print(f"  report: {OUT / device / 'report.html'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
