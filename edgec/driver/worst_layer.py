"""Which layer of a quantized model departs most from the float one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgec.backends.tflite import serialize
from edgec.data.fidelity import Fidelity
from edgec.driver.checks import Run
from edgec.driver.feeds import Feeds
from edgec.driver.runner import dequantized, quantized
from edgec.driver.source_runs import recorded
from edgec.errors import RuntimeFailure
from edgec.frontends.tflite import read_tflite
from edgec.ir.graph import Module, Value
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tensor_info import TensorInfo


def worst_layer(
    float_module: Module, module: Module, feeds: Feeds, *, one_at_a_time: bool = False
) -> tuple[str, float] | None:
    """Name and SQNR (dB) of the op result with the lowest SQNR against the float tensor of the same name.

    Both run in LiteRT's own kernels, with `one_at_a_time` the float model first, all feeds, and then the other, so that
    only one of them is in memory. None where no tensor of the two can be paired or LiteRT does not run them.
    """
    names = _paired_names(float_module, module)
    if not names:
        return None
    try:
        run_float: Run = _Tapped(float_module, names).run
        if one_at_a_time:
            run_float = recorded(run_float, feeds)
        actual = _Tapped(module, names)
        fidelities = {name: Fidelity() for name in names}
        for feed in feeds:
            for name, want, have in zip(names, run_float(feed), actual.run(feed)):
                fidelities[name].add(want, have)
    except RuntimeFailure:
        return None
    found = {name: f.sqnr_db() for name, f in fidelities.items()}
    worst = min(found, key=lambda name: found[name])
    return (worst, found[worst]) if np.isfinite(found[worst]) else None


def _paired_names(float_module: Module, module: Module) -> list[str]:
    ours = {v.name: v for v in _results(float_module)}
    pairs = [v.name for v in _results(module) if v.name in ours and ours[v.name].shape == v.shape]
    return [name for name in dict.fromkeys(pairs) if ours[name].dtype.is_float]


def _results(module: Module) -> list[Value]:
    return [r for op in module.main.ops for r in op.results if r.dtype.is_float or r.quant is not None]


class _Tapped:
    def __init__(self, module: Module, names: Sequence[str]) -> None:
        data = serialize(module)
        declared = read_tflite(data).main.declared
        index = {value.name: i for i, value in enumerate(declared)}
        self.indices = [index[name] for name in names]
        self.types = [declared[i].type for i in self.indices]
        self.inputs = [v.name for v in module.main.inputs]
        self.session = LiteRTSession(data, xnnpack=False, keep_intermediates=True)

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        stored = [quantized(feed[n], info) for n, info in zip(self.inputs, self.session.input_details)]
        arrays = self.session.intermediates(stored, self.indices)
        return [_real(array, type_) for array, type_ in zip(arrays, self.types)]


def _real(array: np.ndarray, type_: object) -> np.ndarray:
    from edgec.ir.types import TensorType

    assert isinstance(type_, TensorType)
    if type_.quant is None:
        return array
    info = TensorInfo("", 0, type_.shape, type_.shape, array.dtype, type_.quant.scale, type_.quant.zero_point)
    return dequantized(array, info)
