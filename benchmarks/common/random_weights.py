"""The onnx wheel's light models with real variety in their weights.

The files stand for their weights by ConstantOfShape, one value for a whole tensor, so most of their outputs are the
same constant for every input, and an error of zero says little. Here each such tensor becomes seeded noise.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_with_random_weights(model: Path, folder: Path, seed: int = 0) -> Path:
    """Copy `model` to `folder` with each ConstantOfShape weight replaced by noise and the last Softmax left out."""
    import onnx
    from onnx import numpy_helper

    loaded = onnx.load(str(model))
    shapes = {one.name: numpy_helper.to_array(one) for one in loaded.graph.initializer}
    small = _shift_names(loaded)
    generator = np.random.default_rng(seed)
    fills = [node for node in loaded.graph.node if node.op_type == "ConstantOfShape" and node.input[0] in shapes]
    for node in fills:
        shape = tuple(int(size) for size in shapes[node.input[0]])
        values = _noise(generator, shape, node.output[0] in small)
        loaded.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
        loaded.graph.node.remove(node)
    _drop_last_softmax(loaded)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / model.name
    onnx.save(loaded, str(copy))
    return copy


def _shift_names(model: Any) -> set[str]:
    """Names of the biases of Conv and Gemm, and of the shifts and means of batch norms."""
    positions = {"Conv": (2,), "Gemm": (2,), "BatchNormalization": (2, 3)}
    return {
        node.input[position]
        for node in model.graph.node
        for position in positions.get(node.op_type, ())
        if position < len(node.input)
    }


def _noise(generator: np.random.Generator, shape: tuple[int, ...], is_shift: bool) -> NDArray[np.float32]:
    """Noise that keeps the activations' size: weights normal with deviation sqrt(2 / fan-in), shifts normal with 0.1,
    scales and variances uniform 0.5..1.5."""
    if len(shape) < 2 and not is_shift:
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    deviation = 0.1 if is_shift else float(np.sqrt(2 / np.prod(shape[1:])))
    values: NDArray[np.float32] = (generator.standard_normal(shape) * deviation).astype(np.float32)
    return values


def _drop_last_softmax(model: Any) -> None:
    """Return the scores that the last softmax reads: with random weights it saturates and would hide them."""
    last = model.graph.node[-1]
    if last.op_type == "Softmax" and last.output[0] == model.graph.output[0].name:
        model.graph.output[0].name = last.input[0]
        model.graph.node.remove(last)
