"""How many of ONNX's own backend cases edgec compiles rightly: a float `.tflite` per case, run in LiteRT.

    python benchmarks/onnx_suite.py --json

The cases are the folders of `onnx/backend/test/data` in the onnx wheels up to 1.20 (later wheels leave out `node`):
`--data` names them, else those of the installed onnx, else those that setup_peers.sh unpacked. `--list` names the
eligible ones, one `folder/case` a line. A case passes when the compiled file, run on the case's inputs in the case's
own layout, gives every expected output: floats to rtol 1e-3 and atol 1e-4, integers and booleans exactly. The
compiler knows the model and the shapes of its inputs, never their values. Cases run in processes of their own, so
that a crash of a kernel or a hang is a failed case, not the end of the run.
"""

import argparse
import json
import queue
import re
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common.locations import ONNX_SUITE, SHARED_DATA, existing

ELIGIBLE = SHARED_DATA / "onnx_suite_eligible.txt"
RECORD = Path(__file__).with_name("onnx_suite_failures.json")
DEVICE = "rpi5"  # LiteRT runs its artifacts; its figures are estimated, so that nothing is timed
RTOL, ATOL = 1e-3, 1e-4
TIMEOUT_SECONDS = 10.0
START_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """What became of one case: `stage` is "passed", "refused", "failed" or "crashed"."""

    case: str
    stage: str
    reason: str = ""


# -- in the worker -----------------------------------------------------------------------------------------------------


def _run_case(folder: Path) -> tuple[str, str]:
    """Stage and reason of one case."""
    from edgec.errors import EdgecError, ImportFailure, RuntimeFailure, UnsupportedOp

    try:
        if not _holds_tensors_only(folder / "model.onnx"):
            _compiled(folder / "model.onnx", {})
            return "failed", "compiled, although it takes or gives something that is no tensor"
        sets = [_data_set(folder, path) for path in sorted(folder.glob("test_data_set_*"))]
        if not sets:
            return "failed", "the case has no data"
        artifact, names = _compiled(folder / "model.onnx", {n: a.shape for n, a in sets[0][0].items()})
        for feeds, expected in sets:
            complaint = _compare(artifact, [feeds[name] for name in names], expected)
            if complaint is not None:
                return "failed", complaint
    except (UnsupportedOp, ImportFailure) as error:
        return "refused", str(error)
    except (RuntimeFailure, EdgecError) as error:
        return "failed", f"{type(error).__name__}: {error}"
    except Exception as error:  # a fault of edgec: counted and shown, and the run goes on
        return "crashed", f"{type(error).__name__}: {error}"
    return "passed", ""


def _holds_tensors_only(path: Path) -> bool:
    import onnx

    graph = onnx.load(path).graph
    return all(info.type.WhichOneof("value") in (None, "tensor_type") for info in (*graph.input, *graph.output))


def _data_set(folder: Path, path: Path) -> tuple[dict[str, Any], list[Any]]:
    """Inputs by name and outputs in order of one set."""
    import onnx

    graph = onnx.load(folder / "model.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    count = len(list(path.glob("input_*.pb")))
    names = [i.name for i in graph.input]
    if count != len(names):
        names = [name for name in names if name not in stored]
    inputs = {name: _array(path / f"input_{i}.pb") for i, name in enumerate(names) if i < count}
    return inputs, [_array(path / f"output_{i}.pb") for i in range(len(graph.output))]


def _array(path: Path) -> Any:
    from onnx import TensorProto, numpy_helper

    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def _compiled(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[bytes, list[str]]:
    """The float `.tflite` that `edgec compile` makes, its inputs and outputs as in the case, and its inputs' names."""
    from edgec import CompileOptions, compile_model

    options = CompileOptions(DEVICE, scheme="fp32", keep_nchw=True, shapes=_open_shapes(path, shapes), check=False)
    result = compile_model(path, options)
    return result.artifact, [value.name for value in result.module.main.inputs]


def _open_shapes(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes, as a user gives them with --shape, of the inputs that the model stores no data for."""
    import onnx

    graph = onnx.load(path).graph
    stored = {tensor.name for tensor in graph.initializer}
    return {i.name: shapes[i.name] for i in graph.input if i.name in shapes and i.name not in stored}


def _compare(artifact: bytes, inputs: list[Any], expected: list[Any]) -> str | None:
    """What is wrong with the outputs, None where nothing is."""
    import numpy as np

    from edgec.runtime.litert import LiteRTSession

    outputs = LiteRTSession(artifact).run(inputs)
    for index, (got, wanted) in enumerate(zip(outputs, expected, strict=True)):
        where = f"output {index}"
        if got.dtype != wanted.dtype:
            return f"{where}: type {got.dtype}, expected {wanted.dtype}"
        if got.shape != wanted.shape:
            return f"{where}: shape {list(got.shape)}, expected {list(wanted.shape)}"
        if wanted.dtype.kind != "f":
            if not np.array_equal(got, wanted):
                return f"{where}: {int((got != wanted).sum())} of {wanted.size} values differ"
        elif not np.allclose(got, wanted, RTOL, ATOL, equal_nan=True):
            off = float(np.nanmax(np.abs(got.astype(np.float64) - wanted)))
            return f"{where}: values differ by up to {off:.3g}"
    return None


def _work(data: Path) -> None:
    """Read case names from standard input, answer each with a line of JSON."""
    import edgec.driver.compile
    import edgec.frontends.onnx  # noqa: F401 -- loaded before the clock of the first case runs

    print(json.dumps(["ready", ""]), flush=True)
    for line in sys.stdin:
        print(json.dumps(_run_case(data / line.strip())), flush=True)


# -- in the parent -----------------------------------------------------------------------------------------------------


class Worker:
    """A process that runs cases one after the other; started again after a crash or a hang."""

    def __init__(self, data: Path) -> None:
        self._command = [sys.executable, __file__, "--worker", "--data", str(data)]
        self._process: subprocess.Popen[str] | None = None

    def run(self, case: str) -> Outcome:
        """Run one case."""
        process = self._process or self._started()
        assert process.stdin is not None
        process.stdin.write(case + "\n")
        process.stdin.flush()
        answer = self._answer(process, TIMEOUT_SECONDS)
        if answer is not None:
            return Outcome(case, *answer)
        hung = process.poll() is None
        self.stop()
        code = process.returncode
        return Outcome(case, "crashed", f"no result in {TIMEOUT_SECONDS:g} s" if hung else f"it died (code {code})")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self._answer(self._process, START_SECONDS) is None:
            raise SystemExit(f"the worker does not start: {' '.join(self._command)}")
        return self._process

    @staticmethod
    def _answer(process: "subprocess.Popen[str]", seconds: float) -> tuple[str, str] | None:
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        while select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))[0]:
            line = process.stdout.readline()
            if not line:
                process.wait()
                return None
            if line.startswith('["'):
                stage, reason = json.loads(line)
                return stage, reason
        return None


def run_cases(cases: list[str], data: Path, workers: int) -> list[Outcome]:
    """Outcomes of all cases, in their order."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    outcomes: dict[str, Outcome] = {}

    def drain() -> None:
        worker = Worker(data)
        while True:
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                break
            outcomes[case] = worker.run(case)
        worker.stop()

    threads = [threading.Thread(target=drain) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[case] for case in cases]


def _group(outcome: Outcome) -> str:
    """The reason without what differs from case to case."""
    reason = re.sub(r"^Reading '[^']*': (\d+ nodes cannot be translated: )?", "", outcome.reason)
    reason = re.sub(r"'[^']*' \(([\w.]+)\)", r"\1", reason)
    reason = re.sub(r"'[^']*'", "'…'", reason)
    reason = re.sub(r"\[[-\d, ]*\]", "[…]", reason)
    return f"{outcome.stage}: " + re.sub(r"-?\d[\d.e+-]*", "n", reason)[:170]


def _print_groups(outcomes: list[Outcome]) -> None:
    groups: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.stage != "passed":
            groups.setdefault(_group(outcome), []).append(outcome.case)
    for reason, cases in sorted(groups.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(case.split("/")[-1].removeprefix("test_") for case in cases[:3])
        print(f"{len(cases):5}  {reason}\n       {shown}{', …' if len(cases) > 3 else ''}")


def _found_data() -> Path | None:
    spec = find_spec("onnx")
    installed = [Path(folder) / "backend/test/data" for folder in (spec and spec.submodule_search_locations) or ()]
    return next((folder for folder in (*installed, ONNX_SUITE) if (folder / "node").is_dir()), None)


def main() -> None:
    """Run the suite and print what failed, by reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="folder/case; without any, all of --list")
    parser.add_argument("--data", type=Path, help="onnx/backend/test/data of a wheel up to 1.20")
    parser.add_argument("--list", type=Path, default=ELIGIBLE, dest="listed", help="the eligible cases")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--outcomes", type=Path, help="write every case's outcome to this JSON file")
    parser.add_argument("--record", action="store_true", help=f"keep what failed in {RECORD.name}, for the page of ops")
    parser.add_argument("--json", action="store_true", help="last line: the counts as JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return _work(arguments.data)
    data = arguments.data or _found_data()
    if data is None or not data.is_dir():
        parser.error("there are no cases: run benchmarks/setup_peers.sh, or give --data")
    cases = arguments.cases or existing(arguments.listed, "set EDGEC_SHARED_DATA, or give --list").read_text().split()
    started = time.monotonic()
    outcomes = run_cases(cases, data, arguments.workers)
    _print_groups(outcomes)
    counts = Counter(outcome.stage for outcome in outcomes)
    summary = {
        "eligible": len(cases), "passed": counts["passed"], "refused": counts["refused"], "failed": counts["failed"],
        "crashed": counts["crashed"], "share": round(counts["passed"] / max(len(cases), 1), 4),
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    listed = [{"case": o.case, "stage": o.stage, "reason": o.reason} for o in outcomes]
    if arguments.outcomes is not None:
        arguments.outcomes.write_text(json.dumps(listed, indent=1) + "\n")
    if arguments.record:
        failures = [one for one in listed if one["stage"] != "passed"]
        kept = {"summary": {key: summary[key] for key in ("eligible", "passed")}, "failures": failures}
        RECORD.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary) if arguments.json else ", ".join(f"{key} {value}" for key, value in summary.items()))
    return None


if __name__ == "__main__":
    main()
