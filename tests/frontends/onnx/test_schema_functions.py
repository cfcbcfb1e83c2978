"""Ops without a translation of their own that ONNX defines by others."""

from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(compare: Any, reduction: str) -> None:
    labels = np.array([[1, 0], [2, 2], [0, 1]])
    compare.check_node("NegativeLogLikelihoodLoss", [real(3, 4, 2), labels], reduction=reduction, constants=[1])
    compare.check_node("SoftmaxCrossEntropyLoss", [real(3, 4, 2), labels], reduction=reduction)


def test_attention(compare: Any) -> None:
    q, k, v = real(2, 4, 3, 8), real(2, 2, 5, 8), real(2, 2, 5, 8)
    compare.check_node("Attention", [q, k, v], opset=23, oracle="reference")
    compare.check_node("Attention", [q, k, v], opset=23, oracle="reference", is_causal=1)
    compare.check_node("Attention", [q, k, v, real(3, 5)], opset=23, oracle="reference", softcap=2.0)


def test_rotary_embedding_and_rms_normalization(compare: Any) -> None:
    angles = [real(2, 3, 4), real(2, 3, 4)]
    compare.check_node("RotaryEmbedding", [real(2, 4, 3, 8), *angles], opset=23, oracle="reference")
    compare.check_node("RMSNormalization", [real(2, 3, 8), real(8)], opset=23, oracle="reference")


def test_models_without_such_ops_are_left_alone(compare: Any) -> None:
    from edgec.frontends.onnx import families
    from edgec.frontends.onnx.schema_functions import with_functions_inlined

    model, _ = compare.node_model("Gelu", [real(2, 3)], opset=20)
    assert with_functions_inlined(model, 20, families.TRANSLATIONS, "m") is model
