"""benchmarks/onnx_suite.py on cases made here: it counts what passes, what differs and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "onnx_suite.py"
X = np.array([[1, -2], [3, -4]], np.float32)


def write_case(compare: Any, folder: Path, op_type: str, expected: np.ndarray) -> None:
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    model, _ = compare.node_model(op_type, [X])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (data / "input_0.pb").write_bytes(numpy_helper.from_array(X).SerializeToString())
    (data / "output_0.pb").write_bytes(numpy_helper.from_array(expected).SerializeToString())


def test_counts(compare: Any, tmp_path: Path) -> None:
    write_case(compare, tmp_path / "node" / "right", "Abs", np.abs(X))
    write_case(compare, tmp_path / "node" / "wrong", "Abs", X)
    write_case(compare, tmp_path / "node" / "other_type", "Abs", np.abs(X).astype(np.int32))
    write_case(compare, tmp_path / "node" / "unknown", "Bernoulli", X)
    cases = tmp_path / "cases.txt"
    cases.write_text("node/right\nnode/wrong\nnode/other_type\nnode/unknown\n")
    outcomes = tmp_path / "outcomes.json"
    command = [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--list", str(cases), "--json", "--workers", "1"]
    run = subprocess.run([*command, "--outcomes", str(outcomes)], capture_output=True, text=True, check=True)
    summary = json.loads(run.stdout.splitlines()[-1])
    assert (summary["eligible"], summary["passed"], summary["failed"], summary["refused"]) == (4, 1, 2, 1)
    reasons = {one["case"]: one["reason"] for one in json.loads(outcomes.read_text())}
    assert reasons["node/wrong"] == "output 0: values differ by up to 8"
    assert reasons["node/other_type"] == "output 0: type float32, expected int32"
    assert "(Bernoulli)" in reasons["node/unknown"]
