"""The model of report.json (`edgec.report/1`), and reading and writing it.

Units are in the names. `None` (JSON null) always means "not known" or "not applicable": NaN and infinity never reach
the JSON. Nothing in a report tells the time of day, so the same inputs give the same bytes but for measured seconds
(see `Report.canonical_json`).
"""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edgec.errors import DataError, ExportFailure

SCHEMA_ID: Literal["edgec.report/1"] = "edgec.report/1"

Evidence = Literal["executed", "planned", "calibrated", "derived", "unknown"]
Verdict = Literal["fits", "misses", "uncertain", "unknown"]
Severity = Literal["error", "warning", "note"]
BudgetUnit = Literal["ms", "bytes", "mJ", "mW", "fraction", "count"]


def _finite_or_none(value: object) -> object:
    """Turn NaN and infinities, numpy's included, into None; leave everything else to pydantic."""
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__"):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _whole_number(value: object) -> object:
    """Take numpy's integers as Python's."""
    if isinstance(value, (int, float)) or not hasattr(value, "__index__"):
        return value
    return int(value.__index__())


def _without_surrogates(value: object) -> object:
    """Replace lone surrogates, which a model file with broken UTF-8 can bring in and JSON cannot carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _as_json(value: Any) -> Any:
    """Return an option's value in plain JSON types; what JSON cannot carry becomes its text."""
    if isinstance(value, dict):
        return {str(_without_surrogates(str(key))): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _without_surrogates(value)
    if hasattr(value, "__index__"):
        return _whole_number(value)
    return _finite_or_none(value) if hasattr(value, "__float__") else str(value)


Figure = Annotated[float | None, BeforeValidator(_finite_or_none)]
Text = Annotated[str, BeforeValidator(_without_surrogates)]
Count = Annotated[int, BeforeValidator(_whole_number), Field(ge=0)]
Options = Annotated[dict[str, Any], BeforeValidator(_as_json)]


class _Section(BaseModel):
    """Base of all sections: frozen, and a misspelt key is an error when a report is made."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        json_schema_serialization_defaults_required=True,
    )


class SourceModel(_Section):
    """The model as it came in, before any compression."""

    name: Text
    source_path: Text
    format: Text
    sha256: Text
    macs: Count | None = None
    parameters: Count | None = None
    ops: Count | None = None
    bytes: Count | None = Field(default=None, description="size of the source file with its external data")


class Device(_Section):
    """The device compiled for; the limits are those of the hardware, not of the budget."""

    name: Text
    target: Text
    kernel_library: Text | None = None
    title: Text | None = Field(default=None, description="the board's full name, for people")
    core: Text | None = None
    clock_hz: Count | None = None
    threads: Count | None = None
    sram_bytes: Count | None = None
    flash_bytes: Count | None = None


class TensorInfo(_Section):
    """An input or output of the artifact; scale and zero_point are null where it is not quantized."""

    name: Text
    shape: list[int] = Field(description="-1 marks a dimension that is only known when run")
    dtype: Text
    scale: Figure = None
    zero_point: int | None = None


class Artifact(_Section):
    """The written `.tflite`."""

    path: Text
    bytes: Count
    sha256: Text
    scheme: Text
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class PassRun(_Section):
    """One pass that was run, in order; `seconds` is measured and so differs from run to run."""

    name: Text
    options: Options = Field(default_factory=dict)
    changed: bool
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    note: Text | None = None


class Layer(_Section):
    """One op of the artifact, in order of execution.

    `live_bytes` are the activations that must be held while it runs; weights are counted in `weight_bytes` only.
    """

    index: Count
    name: Text
    op: Text
    source: Text | None = Field(default=None, description="the source model's node this op came from")
    macs: Count | None = None
    weight_bytes: Count | None = None
    read_bytes: Count | None = None
    written_bytes: Count | None = None
    latency_ms: Figure = None
    energy_mj: Figure = None
    live_bytes: Count | None = None
    output_shape: list[int] | None = None
    dtype: Text | None = None


class Memory(_Section):
    """RAM and flash. For a microcontroller with evidence `executed`, TFLM really ran the artifact in `arena_bytes`."""

    arena_bytes: Count | None = None
    planned_activation_bytes: Count | None = None
    lower_bound_bytes: Count | None = Field(default=None, description="no plan for this order of ops can need less")
    persistent_bytes: Count | None = None
    scratch_bytes: Count | None = None
    weight_bytes: Count | None = None
    flash_bytes: Count | None = Field(default=None, description="the model plus the runtime's code")
    peak_layer: Text | None = None
    evidence: Evidence = "unknown"
    flash_evidence: Evidence = "unknown"
    runtime_code_bytes: Count | None = None
    tflm_greedy_bytes: Count | None = Field(default=None, description="what TFLM's own planner would take")
    smaller_arena_fails: bool | None = Field(default=None, description="true: 16 bytes less was tried and failed")
    basis: Text | None = None


class Latency(_Section):
    """Time of one inference on the device, with its band."""

    ms: Figure = None
    low_ms: Figure = None
    high_ms: Figure = None
    evidence: Evidence = "unknown"
    basis: Text | None = None
    measured_here_ms: Figure = Field(default=None, description="median on the machine that compiled; not the device")
    measured_here_runs: Count | None = None


class Energy(_Section):
    """Energy of one inference on the device, with its band."""

    mj: Figure = None
    low_mj: Figure = None
    high_mj: Figure = None
    average_power_mw: Figure = None
    evidence: Evidence = "unknown"
    basis: Text | None = None


class _Difference(_Section):
    """How far two sets of outputs lie apart.

    Identical outputs have no finite SQNR: then `sqnr_db` is null and `identical` true. A NaN or infinity on either
    side makes `finite` false, and the errors that cannot be stated are null.
    """

    max_abs_error: Figure = None
    max_rel_to_range: Figure = Field(default=None, description="max_abs_error / (max - min) of the reference")
    sqnr_db: Figure = None
    cosine: Figure = None
    top1_agreement: Figure = None
    identical: bool = False
    finite: bool = True

    @model_validator(mode="before")
    @classmethod
    def _name_what_null_would_hide(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        named = dict(data)
        if named.get("sqnr_db") == math.inf:
            named.setdefault("identical", True)
        errors = [named.get(key) for key in ("max_abs_error", "max_rel_to_range")]
        if any(value is not None and _finite_or_none(value) is None for value in errors):
            named["finite"] = False
        return named


class OutputCheck(_Difference):
    """The comparison of one output."""

    output: Text
    differing_share: Figure = Field(default=None, description="of an integer output: elements that are not equal, 0..1")


class Check(_Difference):
    """A comparison of two runs over all outputs; the figures here are the worst of `outputs`."""

    samples: Count | None = None
    reference: Text | None = Field(default=None, description="the runtime that gave the expected outputs")
    passed: bool | None = Field(default=None, description="null where no tolerance is set")
    tolerance: Text | None = None
    worst_layer: Text | None = None
    worst_layer_sqnr_db: Figure = None
    outputs: list[OutputCheck] = Field(default_factory=list)


class Checks(_Section):
    """What was compared with what; null where a comparison was not made, for the reason in `notes`."""

    float_vs_source: Check | None = None
    artifact_vs_float: Check | None = None
    cross_check: Check | None = Field(default=None, description="the float module with another program's translation")
    bit_exact_runs: Count | None = Field(default=None, description="runs whose outputs were byte-identical")
    bit_exact_of: Count | None = Field(default=None, description="runs compared byte for byte")
    bit_exact_against: Text | None = None
    source_runtime: Text | None = None
    artifact_runtime: Text | None = None
    notes: list[Text] = Field(default_factory=list)


class Accuracy(_Section):
    """Metric on labelled data; fractions between 0 and 1 for top1, top5 and auc. `drop` > 0 means it got worse."""

    metric: Text
    float_: Figure = Field(default=None, alias="float")
    artifact: Figure = None
    drop: Figure = None
    samples: Count
    source: Text | None = None


class BudgetLine(_Section):
    """One limit of the budget and the value held against it."""

    name: Text
    limit: Annotated[float, Field(allow_inf_nan=False)]
    value: Figure = None
    low: Figure = None
    high: Figure = None
    verdict: Verdict
    unit: BudgetUnit
    evidence: Evidence = "unknown"
    note: Text | None = None


class PrunedGroup(_Section):
    """Channels that were removed together."""

    name: Text
    channels_before: Count
    channels_after: Count
    reason: Text | None = None


class Compression(_Section):
    """What compression removed, before against after."""

    scheme: Text | None = None
    prune: Text | None = None
    pruned_channels: Count = 0
    dead_channels: Count = 0
    macs_before: Count | None = None
    macs_after: Count | None = None
    bytes_before: Count | None = Field(default=None, description="the source model's file")
    bytes_after: Count | None = None
    parameters_before: Count | None = None
    parameters_after: Count | None = None
    latency_ms_before: Figure = None
    latency_ms_after: Figure = None
    groups: list[PrunedGroup] = Field(default_factory=list)


class Calibration(_Section):
    """The samples whose ranges set the quantization parameters."""

    source: Text
    samples: Count
    sha256: Text | None = None
    method: Text


class Transposes(_Section):
    """Transposes that remain in the artifact, each with its reason."""

    count: Count = 0
    reasons: list[Text] = Field(default_factory=list)


class Diagnostic(_Section):
    """Something the user should know: a refusal by the target, a fall-back, a doubtful figure."""

    severity: Severity
    op: Text | None = None
    message: Text


class Report(_Section):
    """Everything one compile (or `edgec fit`) found out: the content of report.json."""

    schema_: Literal["edgec.report/1"] = Field(default=SCHEMA_ID, alias="schema")
    versions: dict[Text, Text | None]
    model: SourceModel
    device: Device
    artifact: Artifact
    passes: list[PassRun] = Field(default_factory=list)
    layers: list[Layer] = Field(default_factory=list)
    memory: Memory
    latency: Latency
    energy: Energy
    checks: Checks
    accuracy: Accuracy | None = None
    budget: list[BudgetLine] = Field(default_factory=list)
    verdict: Verdict
    compression: Compression | None = None
    calibration: Calibration | None = None
    transposes: Transposes = Field(default_factory=Transposes)
    diagnostics: list[Diagnostic] = Field(default_factory=list)

    def to_json(self) -> str:
        """Return report.json's text: keys as declared, two spaces of indent, a newline at the end."""
        return _dump(self.model_dump(mode="json", by_alias=True))

    def canonical_json(self) -> str:
        """Return the JSON without what is measured on the clock, to compare two runs byte for byte.

        `passes[].seconds` is zero and `latency.measured_here_ms` null. On the device `host` the latency itself is
        measured; it stays, so two such reports may differ.
        """
        data = self.model_dump(mode="json", by_alias=True)
        for run in data["passes"]:
            run["seconds"] = 0.0
        data["latency"]["measured_here_ms"] = None
        return _dump(data)


def overall_verdict(lines: list[BudgetLine]) -> Verdict:
    """Return the verdict over all lines: the worst of misses, unknown, uncertain, fits; `unknown` without lines."""
    verdicts = {line.verdict for line in lines}
    order: tuple[Verdict, ...] = ("misses", "unknown", "uncertain", "fits")
    return next((verdict for verdict in order if verdict in verdicts), "unknown")


def write_report(report: Report, path: str | Path) -> None:
    """Write report.json whole or not at all; raises ExportFailure where the place cannot be written."""
    write_text_whole(report.to_json(), path)


def write_text_whole(text: str, path: str | Path) -> None:
    """Write UTF-8 text whole or not at all; raises ExportFailure."""
    write_bytes_whole(text.encode("utf-8"), path)


def write_bytes_whole(data: bytes, path: str | Path) -> None:
    """Write a file through a temporary one beside `path` and a rename; raises ExportFailure."""
    path = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        reason = error.strerror or str(error)
        raise ExportFailure(f"writing '{path}': {reason}; choose a folder that exists and can be written") from error


def load_report(path: str | Path) -> Report:
    """Read a report.json; unknown keys (of a newer edgec) are ignored. Raises DataError in one sentence."""
    path = Path(path)
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"reading the report '{path}': {error.strerror or error}; give the report.json of an earlier compile"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"reading the report '{path}': it is not JSON ({error}); give a report.json") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA_ID:
        what = f"its schema is {found!r}" if found is not None else "it has no key 'schema'"
        raise DataError(f"reading the report '{path}': {what}, not '{SCHEMA_ID}'; give a report.json of this edgec")
    return _validate(data, path)


def _validate(data: dict[str, Any], path: Path) -> Report:
    """Make a Report of JSON data, leaving out keys it does not know."""
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        extra = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
        if not extra:
            _refuse(error, path)
    for location in extra:
        _remove(data, location)
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        _refuse(error, path)


def _remove(data: Any, location: tuple[int | str, ...]) -> None:
    for key in location[:-1]:
        data = data[key]
    del data[location[-1]]


def _refuse(error: ValidationError, path: Path) -> NoReturn:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" ({error.error_count() - 1} more such faults)" if error.error_count() > 1 else ""
    problem = first["msg"][0].lower() + first["msg"][1:]
    raise DataError(
        f"reading the report '{path}': at '{where}' {problem}{more}; compile again to write it anew"
    ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json; it allows further keys, as newer versions may add some."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        part.pop("additionalProperties", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_titles(schema)}


def _without_titles(node: Any) -> Any:
    """Drop the titles pydantic makes of key names; a property called 'title' is a dict and stays."""
    if isinstance(node, dict):
        return {k: _without_titles(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}
    return [_without_titles(item) for item in node] if isinstance(node, list) else node


def json_schema_text() -> str:
    """Return docs/report.schema.json's text."""
    return _dump(json_schema())


def _dump(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
