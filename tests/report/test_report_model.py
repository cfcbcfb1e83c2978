import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgec.errors import DataError, ExportFailure
from edgec.report.model import (
    BudgetLine,
    Latency,
    Layer,
    OutputCheck,
    PassRun,
    Report,
    json_schema_text,
    load_report,
    overall_verdict,
    write_report,
)

REPOSITORY = Path(__file__).resolve().parents[2]

# DESIGN section 5: scripts rely on these keys
STABLE_KEYS = {
    "model": {"name", "source_path", "format", "sha256", "macs", "parameters"},
    "device": {"name", "target", "kernel_library"},
    "artifact": {"path", "bytes", "sha256", "scheme", "inputs", "outputs"},
    "memory": {
        "arena_bytes", "planned_activation_bytes", "lower_bound_bytes", "persistent_bytes", "scratch_bytes",
        "weight_bytes", "flash_bytes", "peak_layer", "evidence",
    },
    "latency": {"ms", "low_ms", "high_ms", "evidence", "basis"},
    "energy": {"mj", "low_mj", "high_mj", "average_power_mw", "evidence", "basis"},
    "checks": {"float_vs_source", "artifact_vs_float", "bit_exact_runs"},
    "accuracy": {"metric", "float", "artifact", "drop", "samples"},
}  # fmt: skip
STABLE_ITEM_KEYS = {
    "passes": {"name", "options", "changed", "seconds", "note"},
    "layers": {
        "index", "name", "op", "source", "macs", "weight_bytes", "read_bytes", "written_bytes", "latency_ms",
        "energy_mj", "live_bytes",
    },
    "budget": {"name", "limit", "value", "low", "high", "verdict"},
}  # fmt: skip


def test_keys_of_the_design_are_there(sample: ModuleType) -> None:
    data = json.loads(sample.microcontroller_report().to_json())
    assert data["schema"] == "edgec.report/1"
    assert data["verdict"] == "misses"
    for section, keys in STABLE_KEYS.items():
        assert keys <= data[section].keys(), section
    for section, keys in STABLE_ITEM_KEYS.items():
        assert keys <= data[section][0].keys(), section
    assert {"name", "shape", "dtype", "scale", "zero_point"} <= data["artifact"]["inputs"][0].keys()
    float_check = json.loads(sample.phone_report().to_json())["checks"]
    assert {"max_abs_error", "sqnr_db"} <= float_check["float_vs_source"].keys()
    assert {"sqnr_db", "top1_agreement", "worst_layer"} <= float_check["artifact_vs_float"].keys()


def test_written_report_reads_back_equal(sample: ModuleType, tmp_path: Path) -> None:
    for report in (sample.microcontroller_report(), sample.phone_report(), sample.unknown_report()):
        write_report(report, tmp_path / "report.json")
        assert load_report(tmp_path / "report.json") == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_same_report_gives_same_bytes(sample: ModuleType) -> None:
    text = sample.microcontroller_report().to_json()
    assert text == sample.microcontroller_report().to_json()
    assert text.endswith("}\n")
    assert text.startswith('{\n  "schema": "edgec.report/1",\n  "versions": {')


def test_canonical_json_leaves_out_only_the_clock(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    slower = report.model_copy(
        update={
            "passes": [run.model_copy(update={"seconds": 9.0}) for run in report.passes],
            "latency": report.latency.model_copy(update={"measured_here_ms": 99.0}),
        }
    )
    assert slower.to_json() != report.to_json()
    assert slower.canonical_json() == report.canonical_json()
    estimate = report.model_copy(update={"latency": report.latency.model_copy(update={"ms": 1.0})})
    assert estimate.canonical_json() != report.canonical_json()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_no_figure_that_json_cannot_carry(value: float) -> None:
    assert Latency(ms=value).ms is None
    assert PassRun(name="p", changed=False, options={"x": [value]}).options == {"x": [None]}


def test_numpy_figures_become_plain() -> None:
    layer = Layer(index=np.int64(3), name="a", op="add", macs=np.int32(7), latency_ms=np.float32(0.5))
    assert (type(layer.index), type(layer.macs), type(layer.latency_ms)) == (int, int, float)
    assert layer.latency_ms == 0.5


def test_identical_outputs_have_no_sqnr_but_say_so() -> None:
    check = OutputCheck(output="y", sqnr_db=math.inf, max_abs_error=0.0)
    assert (check.sqnr_db, check.identical, check.finite) == (None, True, True)


def test_worst_sqnr_is_not_taken_for_identical() -> None:
    check = OutputCheck(output="y", sqnr_db=-math.inf, max_abs_error=1.0)
    assert (check.sqnr_db, check.identical) == (None, False)


def test_nan_in_outputs_is_said_rather_than_hidden() -> None:
    check = OutputCheck(output="y", max_abs_error=math.nan)
    assert (check.max_abs_error, check.finite) == (None, False)


def test_a_misspelt_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="latency_s"):
        Latency(latency_s=1.0)  # type: ignore[call-arg]


def test_measured_is_no_evidence() -> None:
    with pytest.raises(ValidationError, match="'executed', 'planned', 'calibrated', 'derived' or 'unknown'"):
        Latency(evidence="measured")


@given(st.text(st.characters(codec=None)), st.text())
def test_any_name_survives_writing(name: str, message: str) -> None:
    layer = Layer(index=0, name=name, op="conv_2d", source=message)
    assert Layer.model_validate_json(layer.model_dump_json()) == layer
    assert layer.name == name.encode("utf-8", "replace").decode("utf-8")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "unknown"),
        (["fits", "fits"], "fits"),
        (["fits", "uncertain"], "uncertain"),
        (["uncertain", "unknown"], "unknown"),
        (["unknown", "misses", "fits"], "misses"),
    ],
)
def test_overall_verdict_is_the_worst(verdicts: list[Any], expected: str) -> None:
    lines = [BudgetLine(name="ram", limit=1, verdict=verdict, unit="bytes") for verdict in verdicts]
    assert overall_verdict(lines) == expected


def test_keys_of_a_newer_edgec_are_ignored(sample: ModuleType, tmp_path: Path) -> None:
    data = json.loads(sample.microcontroller_report().to_json())
    data["carbon"] = {"kg": 1}
    data["latency"]["p99_ms"] = 3.0
    data["layers"][2]["colour"] = "blue"
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    assert load_report(path) == sample.microcontroller_report()


def _message(action: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": 1}', "it has no key 'schema', not 'edgec.report/1'; give a report.json of this edgec"),
        ("[1]", "it has no key 'schema', not 'edgec.report/1'; give a report.json of this edgec"),
        ('{"schema": "x/9"}', "its schema is 'x/9', not 'edgec.report/1'; give a report.json of this edgec"),
        (
            "{",
            "it is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
            "give a report.json",
        ),
        (
            '{"schema": "edgec.report/1"}',
            "at 'versions' field required (8 more such faults); compile again to write it anew",
        ),
    ],
)
def test_foreign_json_gives_one_sentence(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    message = _message(lambda: load_report(path), DataError)
    assert message == f"reading the report '{path}': {problem}"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"[" * 100_000, b"", b"NaN"])
def test_hostile_json_gives_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    assert _message(lambda: load_report(path), DataError).startswith(f"reading the report '{path}': it ")


def test_missing_report_gives_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    assert _message(lambda: load_report(path), DataError) == (
        f"reading the report '{path}': No such file or directory; give the report.json of an earlier compile"
    )


def test_nothing_is_written_where_there_is_no_folder(sample: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "report.json"
    assert _message(lambda: write_report(sample.unknown_report(), path), ExportFailure) == (
        f"writing '{path}': No such file or directory; choose a folder that exists and can be written"
    )


def test_failed_write_leaves_the_old_report(
    sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_report(sample.unknown_report(), path)
    old = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    message = _message(lambda: write_report(sample.microcontroller_report(), path), ExportFailure)
    assert "No space left on device" in message
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_published_schema_is_current() -> None:
    published = (REPOSITORY / "docs" / "report.schema.json").read_text(encoding="utf-8")
    assert published == json_schema_text(), "run scripts/generate_report_schema.py"


def test_schema_allows_further_keys_and_requires_the_stable_ones() -> None:
    schema = json.loads(json_schema_text())
    assert "additionalProperties" not in schema
    assert set(schema["required"]) == {field.alias or name for name, field in Report.model_fields.items()}
    assert schema["properties"]["schema"]["const"] == "edgec.report/1"
    assert "title" in schema["$defs"]["Device"]["properties"]
