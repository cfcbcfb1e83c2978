"""What a user may choose about post-training quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RangeMethod = Literal["minmax", "percentile", "mse"]


@dataclass(frozen=True, slots=True)
class QuantOptions:
    """Options of the static schemes, and the size from which the storage schemes convert a constant.

    `method` and `percentile` choose activation ranges (percentile: of the values' distribution, 50..100).
    `bias_correction` moves the mean error that quantization leaves in a layer into its bias. `small_constant_elements`:
    constants with fewer elements stay float32 under fp16 and w8, where the dequantize op would cost more than it saves.
    """

    method: RangeMethod = "mse"
    percentile: float = 99.99
    bias_correction: bool = True
    small_constant_elements: int = 1024

    def __post_init__(self) -> None:
        if self.method not in ("minmax", "percentile", "mse"):
            raise ValueError(f"range method is '{self.method}'; it should be minmax, percentile or mse")
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile is {self.percentile}; it should be above 50 and at most 100")
