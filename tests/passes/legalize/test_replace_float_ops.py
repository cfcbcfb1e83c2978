"""Float ops without any integer kernel are written out before quantization, in ops that have one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import PassError, QuantizationError
from edgec.ir.graph import Module
from edgec.ir.parser import parse_module
from edgec.ops import OP_DEFS
from edgec.passes.base import PassContext
from edgec.passes.legalize.legalize import Legalize
from edgec.passes.legalize.replace_float_ops import ReplaceFloatOps
from edgec.quant.quantize import quantize_module
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession
from edgec.target import load_target

X = np.linspace(-3, 3, 64, dtype=np.float32).reshape(1, 4, 4, 4)


def of_one(op: str) -> Module:
    lines = ("graph @main(%x: float32[1,4,4,4]) {", f"  %y = {op}(%x) : float32[1,4,4,4]", "  return %y", "}")
    return parse_module("\n".join(lines), OP_DEFS)


def samples() -> Iterator[dict[str, np.ndarray]]:
    yield {"x": X}


@pytest.mark.parametrize("op", ["gelu", "neg", "square"])
def test_what_the_target_lacks_becomes_int8(op: str) -> None:
    target = load_target("mcu-int8")
    (expected,) = LiteRTSession(serialize(of_one(op))).run([X])
    with pytest.raises(QuantizationError, match=f"1 of its 1 ops cannot become int8: {op} "):
        quantize_module(of_one(op), "w8a8", target, samples)
    module = of_one(op)
    assert ReplaceFloatOps().run(module, PassContext(target=target)).changed
    quantized = quantize_module(module, "w8a8", target, samples).module
    Legalize().run(quantized, PassContext(target=target))
    (given,), (result,) = quantized.main.inputs, quantized.main.outputs
    assert given.quant is not None
    assert result.quant is not None
    stored = np.clip(np.round(X / given.quant.scale[0]) + given.quant.zero_point[0], -128, 127).astype(np.int8)
    (found,) = TFLMSession(serialize(quantized), 1 << 20).run([stored])
    real = (found.astype(np.float32) - result.quant.zero_point[0]) * result.quant.scale[0]
    assert np.abs(real - expected).max() < 0.03 * np.ptp(expected)


def test_what_the_target_has_stays() -> None:
    module = of_one("gelu")
    assert not ReplaceFloatOps().run(module, PassContext(target=load_target("mobile-cpu"))).changed
    with pytest.raises(PassError, match="needs a target"):
        ReplaceFloatOps().run(module, PassContext(target=None))
