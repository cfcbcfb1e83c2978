"""The four MLPerf Tiny models, float to w8a8 for a microcontroller: accuracy against float and the published int8.

Everything is judged on the same samples, none of which was used for calibration. The int8 artifacts run in TFLM, the
float models in LiteRT.
"""

import argparse

from common.artifact import Artifact
from common.edgec_run import compile_model
from common.int8_in_tflm import TFLMArtifact
from common.locations import WORK
from common.mlperf_tiny import TASKS, Task
from common.table import print_machine, print_table


def compare(task: Task, device: str, key: str) -> list[str]:
    """One line of the table: samples, float, ours, published, drops, bar, time, size."""
    options = ["--scheme", "w8a8", "--calibration", str(task.calibration)]
    compiled = compile_model(task.source, WORK / f"mlperf_tiny_{key}", device, options)
    reference = task.score(Artifact(task.float_tflite).infer, task)
    ours = task.score(TFLMArtifact(compiled.artifact).infer, task)
    published = task.score(TFLMArtifact(task.published_int8).infer, task)
    digits = 3 if task.unit == "AUC" else 2
    drop = reference - ours
    return [
        task.name,
        str(len(task.samples)),
        f"{reference:.{digits}f}",
        f"{ours:.{digits}f}",
        f"{published:.{digits}f}",
        f"{drop:+.{digits}f}",
        f"{reference - published:+.{digits}f}",
        f"<= {task.bar} {task.unit}",
        "yes" if drop <= task.bar else "NO",
        f"{compiled.run.seconds:.1f} s",
        f"{compiled.artifact.stat().st_size:,} / {task.published_int8.stat().st_size:,}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--device", default="stm32l4r5")
    parser.add_argument("--limit", type=int, help="judge on the first N samples only (a quick look, not the bar)")
    arguments = parser.parse_args()
    unknown = set(arguments.tasks) - set(TASKS)
    if unknown:
        parser.error(f"there is no task {', '.join(sorted(unknown))}; the tasks are {', '.join(TASKS)}")
    print_machine("edgec", "ai-edge-litert", "tflite-micro")
    lines = [compare(TASKS[key](arguments.limit), arguments.device, key) for key in arguments.tasks or TASKS]
    header = ["model", "samples", "float", "edgec", "published", "our drop", "its drop", "bar", "holds", "compile"]
    print_table("MLPerf Tiny, float to w8a8 (int8 in TFLM)", [*header, "bytes: edgec / published"], lines)


if __name__ == "__main__":
    main()
