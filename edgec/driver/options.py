"""What a user asks of a compilation, and what a compilation gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgec.errors import ProfileError
from edgec.target.base import found_text
from edgec.target.budget import Budget, parse_budget

if TYPE_CHECKING:
    from edgec.ir.graph import Module
    from edgec.report.model import Report
    from edgec.target.device import Device

Progress = Callable[[str, float | None], None]
"""Called with the stage's name and, where it is known, the share of it that is done (0..1)."""

AUTO = "auto"


def no_progress(stage: str, share: float | None = None) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class CompileOptions:
    """What to compile for, and how.

    `device` is a name, a path to a profile, or a loaded profile. `budget` is a `Budget`, or text as on the command line
    (`"latency=20ms,ram=256KiB"`); text that is none is refused at once with a ProfileError. `scheme` is `auto` or one
    of the target's schemes. `prune` is None, a ratio between 0 and 1, or `auto` (as much as the budget needs).
    `calibration` and `eval` are manifests, arrays or folders of images. `shapes` fixes the shapes of inputs by name; an
    entry `"128?"` leaves a dimension open and plans for 128, `"?"` or -1 does so for a batch. `check` compares the
    float model with the source's own runtime. `example_inputs` go with a `torch.nn.Module` as the model: one tensor, a
    tuple of them, or a mapping by argument name. `frontend` is None or `onnx2tf`; `python` is the interpreter for
    TensorFlow and onnx2tf, None for this one; `inputs` and `outputs` cut a frozen TensorFlow graph. `cross_check` is
    None or `onnx2tf`, whose translation is then compared with ours. `requantize` turns a quantized model back into
    floats first, so that every scheme can be had of it; without it the integers are kept.
    """

    device: str | Path | Device
    budget: Budget | str = field(default_factory=Budget)
    scheme: str = AUTO
    calibration: str | Path | None = None
    calibration_limit: int | None = None
    calibration_method: str = AUTO
    eval: str | Path | None = None
    prune: float | str | None = None
    prune_importance: str = "l1"
    keep_nchw: bool = False
    shapes: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    example_inputs: Any = None
    frontend: str | None = None
    python: str | None = None
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    cross_check: str | None = None
    requantize: bool = False
    check: bool = True
    explain: bool = False
    print_after: str | None = None
    kernel_library: str | None = None
    progress: Progress = no_progress
    limits: Budget = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _limits(self.budget))


def _limits(budget: object) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if isinstance(budget, str):
        return parse_budget(budget)
    raise ProfileError(
        f"Reading the budget: it is {found_text(budget)}; give a Budget, or text such as latency=20ms,ram=256KiB."
    )


@dataclass(frozen=True)
class CompileResult:
    """The artifact's bytes, the module behind them, and the report.

    `listing` holds the text form printed after passes where `print_after` asked for it.
    """

    artifact: bytes
    module: Module
    report: Report
    listing: str = ""
    refusals: tuple[tuple[str, str, str], ...] = ()

    def write(self, folder: str | Path) -> None:
        """Write `model.tflite`, `report.json`, `report.html` and `model.ir.txt`, each whole or not at all.

        Raises:
            ExportFailure: the folder cannot be written.
        """
        from edgec.driver.output import write_result

        write_result(self, Path(folder))
