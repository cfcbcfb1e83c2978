"""The bar for artifacts of quantized sources: by how many quantization steps outputs may part from the source's.

Such artifacts keep the source's integers, so they are expected byte-identical. Known conversions are not: kernels of
uint8 and int8, or of two runtimes, put a result that lies half way between two steps on either side, and what follows
hands such a step on. A wrong op moves most elements by far more. So the bar is `FEW_STEPS` on all but `FAR_SHARE` of an
output's elements; and as a corner computed wrongly may be a small share, none may be `MOST_STEPS` off. Behind ops that
select or sort, where a step decides who comes first, it is `SELECTED_SHARE` of the elements instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.driver.agreement import comparable
from edgec.driver.cutout import ops_between
from edgec.ir.graph import Graph, Module, Value

Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]

STEPS = 255  # of an output in 8 bits; finer outputs, and floats made of steps, count in such parts of their range
FEW_STEPS, MOST_STEPS = 2, 32
FAR_SHARE = 0.01
SELECTED_SHARE = 0.25
SHARE_OF_RANGE = FEW_STEPS / STEPS
BAR = f"{FEW_STEPS} steps on all but {FAR_SHARE:.0%} of an output's elements, {MOST_STEPS} on none"
_SELECTING = ("arg_max", "arg_min", "topk_v2", "non_max_suppression_v4", "non_max_suppression_v5", "custom", "unique")


@dataclass
class OutputSteps:
    """How far one output departs, over any number of runs; `scale` is its step, 0 where it has none."""

    name: str
    scale: float = 0.0
    selected: bool = False
    elements: int = 0
    apart: int = 0
    far: int = 0
    largest: float = 0.0

    def add(self, want: np.ndarray, have: np.ndarray) -> None:
        """Take the output of one run as real values, or as integers where it has no scale."""
        want, have = comparable(want, have)
        if want.shape != have.shape:
            self.largest = np.inf
            return
        error = np.abs(np.asarray(have, np.float64) - np.asarray(want, np.float64))
        error[~np.isfinite(error)] = np.inf
        steps = error if want.dtype.kind in "iub" else error / self._step(want)
        self.elements += steps.size
        self.apart += int(np.count_nonzero(steps > 0.5))
        self.far += int(np.count_nonzero(steps > FEW_STEPS + 0.5))
        self.largest = max(self.largest, float(steps.max(initial=0.0)))

    def _step(self, want: np.ndarray) -> float:
        finite = want[np.isfinite(want)].astype(np.float64)
        span = float(np.ptp(finite) or np.abs(finite).max()) if finite.size else 0.0
        return max(self.scale, span / STEPS) or 1.0

    @property
    def apart_at_all(self) -> bool:
        """Whether any element departs."""
        return self.largest > 0

    @property
    def beyond(self) -> bool:
        """Whether the output departs by more than rounding explains."""
        if self.selected:
            return not np.isfinite(self.largest) or self.apart > SELECTED_SHARE * self.elements
        return self.largest > MOST_STEPS + 0.5 or self.far > FAR_SHARE * self.elements

    def __str__(self) -> str:
        if not np.isfinite(self.largest):
            return f"output '{self.name}' departs in shape or by values that are not finite"
        share = f"{self.apart} of {self.elements} elements"
        if self.selected:
            return f"output '{self.name}' departs on {share}"
        return f"output '{self.name}' departs on {share}, on {self.far} by more than {FEW_STEPS} steps, at most by " + (
            f"{self.largest:.3g}"
        )


def steps_apart(
    reference: Run, actual: Run, feeds: Sequence[Mapping[str, np.ndarray]], module: Module
) -> list[OutputSteps]:
    """Run both on the same feeds and count, output by output, the steps between them; `module` is the source's."""
    found = open_counts(module)
    for feed in feeds:
        for one, want, have in zip(found, reference(feed), actual(feed), strict=True):
            one.add(np.asarray(want), np.asarray(have))
    return found


def open_counts(module: Module) -> list[OutputSteps]:
    """Counters at zero for the outputs of a quantized module."""
    return [OutputSteps(v.name, _scale(v), _is_selected(module.main, v)) for v in module.main.outputs]


def share_beyond(want: Sequence[np.ndarray], have: Sequence[np.ndarray], module: Module) -> float:
    """The largest departure of one run in parts of an output's range, 0 where all lie within the bar."""
    worst = 0.0
    for one, a, b in zip(open_counts(module), want, have, strict=True):
        one.add(np.asarray(a), np.asarray(b))
        if one.beyond:
            span = float(np.ptp(a)) if np.size(a) and np.isfinite(one.largest) else 0.0
            worst = max(worst, float(np.abs(np.asarray(b, np.float64) - a).max()) / span if span else np.inf)
    return worst


def _scale(value: Value) -> float:
    return 0.0 if value.quant is None else float(value.quant.scale[0])


def few_steps(output: Value) -> float:
    """`FEW_STEPS` steps of a float output that a QDQ pair made, 0 of any other: it may span hardly more than those."""
    while output.producer is not None and output.producer.opcode in ("reshape", "transpose"):
        output = output.producer.operand(0)
    if output.producer is None or output.producer.opcode != "dequantize":
        return 0.0
    quant = output.producer.operand(0).quant
    return 0.0 if quant is None else (FEW_STEPS + 0.01) * max(quant.scale)


def _is_selected(graph: Graph, output: Value) -> bool:
    return any(op.opcode.startswith(_SELECTING) for op in ops_between(graph.inputs, [output]))
