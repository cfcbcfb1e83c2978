"""A device profile: what running costs on one board, each fact with its source."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from edgec.target.base import EvidenceKind, ProfileModel, dotted, listing, suggestion
from edgec.target.target import ComputeDType, Target

CLASSES = ("pointwise", "conv", "first_conv", "depthwise", "fully_connected")


class Evidence(ProfileModel):
    """Where a fact comes from and how sure it is."""

    kind: EvidenceKind
    source: str = Field(min_length=1)


class Cpu(ProfileModel):
    """The cores an inference uses. `clock_hz` is that of the fastest one used; None where it is not fixed."""

    model: str
    core: str
    cores: PositiveInt
    threads: PositiveInt
    clock_hz: PositiveInt | None = None
    simd: tuple[str, ...] = ()
    macs_per_cycle: Mapping[ComputeDType, PositiveFloat] = {}


class Caches(ProfileModel):
    """Cache sizes in bytes; `l1d_bytes` is per core, the others as one core sees them."""

    l1d_bytes: PositiveInt | None = None
    l2_bytes: PositiveInt | None = None
    l3_bytes: PositiveInt | None = None


class Power(ProfileModel):
    """Power while inferring and while idle, in milliwatts, at the stated supply."""

    active_mw: PositiveFloat
    active_low_mw: PositiveFloat
    active_high_mw: PositiveFloat
    idle_mw: PositiveFloat | None = None
    supply: str

    @model_validator(mode="after")
    def _check_order(self) -> "Power":
        if not self.active_low_mw <= self.active_mw <= self.active_high_mw:
            raise ValueError(
                f"active_low_mw {self.active_low_mw:g}, active_mw {self.active_mw:g}, active_high_mw "
                f"{self.active_high_mw:g} are out of order; low <= active <= high is needed"
            )
        return self


class Band(ProfileModel):
    """Factors on an estimate between which the true value is expected."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]


class CyclesPerMac(ProfileModel):
    """Core cycles per multiply-accumulate on one thread, by kernel class.

    `first_conv` is a convolution that reads the graph input (few channels); `conv` any other with a kernel above 1x1.
    """

    pointwise: PositiveFloat
    conv: PositiveFloat
    first_conv: PositiveFloat
    depthwise: PositiveFloat
    fully_connected: PositiveFloat


class KernelCosts(ProfileModel):
    """Latency parameters of one kernel library at one compute dtype.

    cycles = sum(macs[class] * cycles_per_mac[class]) / thread_speedup
           + output elements of ops without MACs * cycles_per_output_element + ops * cycles_per_op
    seconds = max(cycles / clock_hz, weight and activation bytes / dram_bandwidth); [low, high] = seconds * band.
    """

    cycles_per_mac: CyclesPerMac
    cycles_per_output_element: NonNegativeFloat
    cycles_per_op: NonNegativeFloat
    thread_speedup: Annotated[float, Field(ge=1)] = 1.0
    band: Band
    kind: EvidenceKind
    source: str = Field(min_length=1)


class RuntimeFloor(ProfileModel):
    """What the runtime costs before any model: flash in bytes for code and kernels, RAM in bytes beside the arena."""

    code_bytes: NonNegativeInt
    code_low_bytes: NonNegativeInt
    code_high_bytes: NonNegativeInt
    ram_bytes: NonNegativeInt | None = None
    kind: EvidenceKind
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_order(self) -> "RuntimeFloor":
        if not self.code_low_bytes <= self.code_bytes <= self.code_high_bytes:
            raise ValueError(
                f"code_low_bytes {self.code_low_bytes}, code_bytes {self.code_bytes}, code_high_bytes "
                f"{self.code_high_bytes} are out of order; low <= code <= high is needed"
            )
        return self


class Device(ProfileModel):
    """What a board costs. Sizes in bytes, clocks in hertz, power in milliwatts; None means unknown (see `gaps`)."""

    name: str
    title: str
    target_name: str = Field(alias="target")
    target: Target = Field(alias="resolved_target", exclude=True)  # set by the loader, never by a file
    latency_basis: Literal["roofline", "executed"] = "roofline"
    cpu: Cpu
    caches: Caches = Caches()
    dram_bandwidth_bytes_per_s: PositiveFloat | None = None
    sram_bytes: PositiveInt | None = None
    flash_bytes: PositiveInt | None = None
    power: Power | None = None
    default_kernel_library: str
    kernel_libraries: Mapping[str, Mapping[ComputeDType, KernelCosts]] = {}
    runtime_floor: RuntimeFloor | None = None
    evidence: Mapping[str, Evidence] = {}
    gaps: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_library(self) -> "Device":
        if self.latency_basis == "executed":
            return self
        if self.default_kernel_library not in self.kernel_libraries:
            raise ValueError(
                f"key 'default_kernel_library' is '{self.default_kernel_library}'; it should be one of the tables "
                f"under kernel_libraries: {listing(self.kernel_libraries)}"
            )
        if self.cpu.clock_hz is None:
            raise ValueError("key 'cpu.clock_hz' is missing; a roofline needs it (or set latency_basis = \"executed\")")
        return self

    @model_validator(mode="after")
    def _check_evidence(self) -> "Device":
        facts = set(_paths(self))
        known = facts | {fact.split(".")[0] for fact in facts}
        for key in self.evidence:
            if key not in known:
                raise ValueError(
                    f"key 'evidence.{key}' names no fact of this profile{suggestion(key, known)}; "
                    f"facts are {listing(known)}"
                )
        return self

    def costs(self, compute_dtype: str, kernel_library: str | None = None) -> KernelCosts | None:
        """Return the latency parameters for a compute dtype, or None where the profile has none."""
        table: Mapping[Any, KernelCosts] = self.kernel_libraries.get(kernel_library or self.default_kernel_library, {})
        return table.get(compute_dtype)

    def facts(self) -> list[str]:
        """Return the dotted names of all facts this profile states; an evidence key names one, or its whole table."""
        return sorted(_paths(self))

    def evidence_for(self, fact: str) -> Evidence:
        """Return the evidence of a fact (`power.active_mw`) or of its table (`power`), else one of kind unknown."""
        found = self.evidence.get(fact) or self.evidence.get(fact.split(".")[0])
        return found or Evidence(kind="unknown", source="the profile names no source")


# Identity and choices are not facts about the board; cost tables carry their own kind and source.
_NOT_FACTS = frozenset(
    {
        "name",
        "title",
        "target_name",
        "target",
        "latency_basis",
        "default_kernel_library",
        "kernel_libraries",
        "runtime_floor",
        "evidence",
        "gaps",
    }
)


def _paths(model: BaseModel, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if value is None or value in ({}, ()) or (not prefix and name in _NOT_FACTS):
            continue
        if isinstance(value, BaseModel):
            yield from _paths(value, (*prefix, name))
        else:
            yield dotted((*prefix, name))
