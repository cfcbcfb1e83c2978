"""Repeatable inputs made of what a runtime says of a model, where nothing else is known; never for calibration.

Who has the module at hand gives better ones: `edgec.driver.feeds.trial_inputs` knows what its ops do with an integer.
"""

from collections.abc import Sequence

import numpy as np

from edgec.runtime.tensor_info import Array, TensorInfo


def sample_inputs(infos: Sequence[TensorInfo], seed: int = 0) -> list[Array]:
    """Make one input per tensor: noise for activations, zeros for what may be an index or a flag.

    int8, uint8 and int16 take their whole range, floats a standard normal distribution. Shapes are the present ones.
    """
    generator = np.random.default_rng(seed)
    inputs: list[Array] = []
    for info in infos:
        if info.dtype.kind == "f":
            inputs.append(np.asarray(generator.standard_normal(info.shape), info.dtype))
        elif info.dtype in (np.int8, np.uint8, np.int16):
            limits = np.iinfo(info.dtype)
            inputs.append(np.asarray(generator.integers(limits.min, limits.max + 1, info.shape), info.dtype))
        else:
            inputs.append(np.zeros(info.shape, info.dtype))
    return inputs
