"""A small model of every shape the codec knows: per-axis quantization, sparsity, unions, strings, empty vectors."""

from typing import Any

import numpy as np
import pytest

Tree = dict[str, Any]


def assert_same_tree(first: Any, second: Any, path: str = "Model") -> None:
    """Same keys, types and values all the way down; arrays of the same dtype and bytes."""
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key, value in first.items():
            assert_same_tree(value, second[key], f"{path}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), path
        for index, (left, right) in enumerate(zip(first, second)):
            assert_same_tree(left, right, f"{path}[{index}]")
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes()), path
    else:
        assert first == second, path


@pytest.fixture(scope="session")
def same_tree() -> Any:
    return assert_same_tree


@pytest.fixture
def small_model() -> Tree:
    """Pad-free 1x1 convolution of 1x4x4x2 by int8 weights, with everything around it that a file may carry."""
    weights = np.arange(-4, 4, dtype=np.int8).reshape(4, 1, 1, 2)
    tensors = [
        {"shape": [1, 4, 4, 2], "type": "INT8", "buffer": 0, "name": "input", "shape_signature": [-1, 4, 4, 2]},
        {"shape": [4, 1, 1, 2], "type": "INT8", "buffer": 1, "name": "weights"},
        {"shape": [4], "type": "INT32", "buffer": 2, "name": "bias"},
        {"shape": [1, 4, 4, 4], "type": "INT8", "buffer": 0, "name": "output", "has_rank": True},
    ]
    tensors[0]["quantization"] = {"min": [-1.0], "max": [1.0], "scale": [0.5], "zero_point": [-3]}
    tensors[1]["quantization"] = {"scale": [0.5, 0.25, 0.5, 1.0], "zero_point": [0, 0, 0, 0], "quantized_dimension": 0}
    tensors[2]["quantization"] = {"scale": [0.25, 0.125, 0.25, 0.5], "zero_point": [0] * 4, "quantized_dimension": 0}
    tensors[3]["quantization"] = {"scale": [1.0], "zero_point": [5]}
    conv = {
        "opcode_index": 0,
        "inputs": [0, 1, 2],
        "outputs": [3],
        "builtin_options": (
            "Conv2DOptions",
            {"padding": "VALID", "stride_w": 1, "stride_h": 1, "fused_activation_function": "RELU6"},
        ),
        "mutating_variable_inputs": [],
    }
    return {
        "version": 3,
        "operator_codes": [{"deprecated_builtin_code": 3, "builtin_code": "CONV_2D", "version": 3}],
        "subgraphs": [{"tensors": tensors, "inputs": [0], "outputs": [3], "operators": [conv], "name": "main"}],
        "description": "small",
        "buffers": [{}, {"data": weights}, {"data": np.array([1, -2, 3, -4], np.int32)}, {"data": b"1.5.0\0"}],
        "metadata": [{"name": "min_runtime_version", "buffer": 3}],
        "signature_defs": [
            {
                "inputs": [{"name": "x", "tensor_index": 0}],
                "outputs": [{"name": "y", "tensor_index": 3}],
                "signature_key": "serving_default",
            }
        ],
    }


@pytest.fixture
def strange_model(small_model: Tree) -> Tree:
    """The small model with the rare parts as well; it is for the codec, no runtime runs it."""
    subgraph = small_model["subgraphs"][0]
    subgraph["tensors"][1]["sparsity"] = {
        "traversal_order": [0, 1],
        "block_map": [],
        "dim_metadata": [
            {"format": "DENSE", "dense_size": 4},
            {
                "format": "SPARSE_CSR",
                "array_segments": ("Uint8Vector", {"values": [0, 1, 2, 3, 4]}),
                "array_indices": ("Uint16Vector", {"values": [0, 300, 1, 65535]}),
            },
        ],
    }
    details = ("CustomQuantization", {"custom": [7, 8, 9]})
    subgraph["tensors"][3]["quantization"] = {"scale": [], "details": details}
    subgraph["tensors"][0]["variant_tensors"] = [{"shape": [2, 3], "type": "FLOAT16", "has_rank": True}]
    subgraph["operators"] += [
        {"opcode_index": 1, "inputs": [3], "outputs": [3], "custom_options": b"\x01\x02", "intermediates": [-1]},
        {
            "inputs": [-1, 0],
            "outputs": [],
            "mutating_variable_inputs": [False, True],
            "builtin_options_2": (
                "StablehloConvolutionOptions",
                {"window_strides": [1, 2**40], "window_reversal": [True, False], "precision_config": [2]},
            ),
        },
        {"inputs": [0], "outputs": [3], "builtin_options": ("RandomOptions", {"seed": -(2**63), "seed2": 2**63 - 1})},
        {"inputs": [0], "builtin_options": ("CastOptions", {"in_data_type": 77, "out_data_type": "BOOL"})},
    ]
    custom = {"deprecated_builtin_code": 32, "custom_code": "Op\udcff é", "builtin_code": 32}
    small_model["operator_codes"].append(custom)
    small_model["metadata"].append({"name": "", "buffer": 0})
    small_model["buffers"].append({"data": b""})
    return small_model
