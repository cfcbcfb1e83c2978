"""A target: what can run there, and which passes suit it in which order."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from edgec.ir.dtype import DType
from edgec.target.base import ProfileModel, listing

Scheme = Literal["fp32", "fp16", "w8", "w8a8", "w8a16", "w4a8"]
DTypeName = Literal["float32", "float16", "int4", "int8", "int16", "int32", "int64", "uint8", "bool"]
ComputeDType = Literal["fp32", "fp16", "w8", "int8", "int16"]
OptionValue = bool | int | float | str | tuple[bool | int | float | str, ...]


class PassStep(ProfileModel):
    """One pass of the pipeline: its name, its options, and why it stands where it stands."""

    name: str
    reason: str
    options: Mapping[str, OptionValue] = {}


class Pipeline(ProfileModel):
    """The passes in order. Names are not checked here; the pass registry does that."""

    passes: tuple[PassStep, ...] = Field(alias="pass", min_length=1)


class IoDTypes(ProfileModel):
    """Dtypes a graph may take and give at its borders once a scheme is applied; the first is the default."""

    inputs: tuple[DTypeName, ...] = Field(min_length=1)
    outputs: tuple[DTypeName, ...] = Field(min_length=1)


class Target(ProfileModel):
    """What can run: runtime, ops, dtypes, schemes, layout and the pass pipeline.

    `ops` maps a builtin name (`conv_2d`) to the dtypes its data may have; it is empty where `all_ops` holds, and then
    `deny` names the exceptions with a reason each. `schemes` is in order of preference.
    """

    name: str
    summary: str
    runtime: Literal["litert", "tflm"]
    kernel_library: str
    schemes: tuple[Scheme, ...] = Field(min_length=1)
    default_scheme: Scheme
    refused_schemes: Mapping[Scheme, str] = {}
    compute_dtype: Mapping[Scheme, ComputeDType]
    io_dtype: Mapping[Scheme, IoDTypes]
    refused_dtypes: Mapping[DTypeName, str] = {}
    weights_granularity: Mapping[str, Literal["per_channel", "per_tensor"]]
    layout: Literal["NHWC"] = "NHWC"
    channel_multiple: PositiveInt
    max_rank: PositiveInt | None = None
    max_concat_inputs: PositiveInt | None = None
    all_ops: bool = False
    ops: Mapping[str, tuple[DTypeName, ...]]
    deny: Mapping[str, str] = {}
    rules: Mapping[str, OptionValue] = {}
    pipeline: Pipeline

    @model_validator(mode="before")
    @classmethod
    def _read_all_ops(cls, data: Any) -> Any:
        """Accept `ops = "all"` for runtimes that take every builtin edgec knows."""
        if isinstance(data, Mapping) and isinstance(data.get("ops"), str):
            if data["ops"] != "all":
                raise ValueError(f"key 'ops' is '{data['ops']}'; it should be \"all\" or a table of op = [dtypes]")
            return {**data, "ops": {}, "all_ops": True}
        return data

    @model_validator(mode="after")
    def _check_schemes(self) -> "Target":
        if self.default_scheme not in self.schemes:
            raise ValueError(
                f"key 'default_scheme' is '{self.default_scheme}'; it should be one of schemes: {listing(self.schemes)}"
            )
        both = set(self.schemes) & set(self.refused_schemes)
        if both:
            raise ValueError(f"scheme {listing(both)} stands in both 'schemes' and 'refused_schemes'; keep one")
        for table, keys in (("compute_dtype", self.compute_dtype), ("io_dtype", self.io_dtype)):
            missing = set(self.schemes) - set(keys)
            if missing:
                raise ValueError(f"key '{table}' has no entry for scheme {listing(missing)}; add one for each scheme")
        return self

    def supports(self, op: str, dtype: DType | str | None = None) -> bool:
        """Return whether the runtime has a kernel for `op` (with data of `dtype`, if given)."""
        return self.refusal(op, dtype) is None

    def refusal(self, op: str, dtype: DType | str | None = None) -> str | None:
        """Return one sentence on why `op` (with `dtype`) cannot run here, or None if it can."""
        name = dtype.value if isinstance(dtype, DType) else dtype
        if op in self.deny:
            return f"{op} does not run on target {self.name}: {self.deny[op]}"
        if name is not None and name in self.refused_dtypes and name not in self.ops.get(op, ()):
            return f"{op} with {name} does not run on target {self.name}: {_of(self.refused_dtypes, name)}"
        if self.all_ops:
            return None
        if op not in self.ops:
            return f"{op} does not run on target {self.name}: {self.runtime} registers no such kernel"
        taken = self.ops[op]
        if name is not None and taken and name not in taken:  # an op without dtypes carries no data of its own
            return f"{op} with {name} does not run on target {self.name}: its kernel takes {listing(taken)}"
        return None

    def scheme_refusal(self, scheme: str) -> str | None:
        """Return one sentence on why quantization `scheme` is refused here, or None if it is allowed."""
        if scheme in self.schemes:
            return None
        reason = _of(self.refused_schemes, scheme) or "the target does not list it"
        return f"scheme {scheme} is refused for target {self.name}: {reason}; use {' or '.join(self.schemes)}"


def _of(table: Mapping[Any, str], key: str) -> str:
    return table.get(key, "")
