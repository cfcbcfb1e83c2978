from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def heads(queries: int = 4, shared: int = 4, length: int = 3, total: int = 5, wide: int = 6) -> list[Any]:
    return [real(2, queries, length, 8), real(2, shared, total, 8), real(2, shared, total, wide)]


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_shared_heads_are_not_repeated(compare: Any, shared: int) -> None:
    module = compare.check_node("Attention", heads(shared=shared), opset=23, atol=1e-4)
    assert not {"tile", "broadcast_to", "concatenation"} & {op.opcode for op in module.main.ops}


@pytest.mark.parametrize("causal", [0, 1])
def test_rank_3(compare: Any, causal: int) -> None:
    inputs = [real(2, 5, 24), real(2, 5, 12), real(2, 5, 12)]
    compare.check_node(
        "Attention", inputs, opset=23, q_num_heads=4, kv_num_heads=2, is_causal=causal, scale=0.4, atol=1e-4
    )


@pytest.mark.parametrize("shape", [(3, 5), (1, 1, 3, 5), (2, 4, 3, 5)])
@pytest.mark.parametrize("kind", ["bool", "float", "constant"])
def test_masks(compare: Any, shape: tuple[int, ...], kind: str) -> None:
    mask = RNG.random(shape) < 0.7 if kind == "bool" else real(*shape)
    mask[..., 0] = True if kind == "bool" else 0
    constants = [3] if kind == "constant" else []
    compare.check_node("Attention", [*heads(), mask], opset=23, constants=constants, atol=1e-4)


def test_rows_that_attend_nothing_give_zeros(compare: Any) -> None:
    mask = RNG.random((3, 5)) < 0.5
    mask[1] = False
    for constants in ([], [3]):
        compare.check_node("Attention", [*heads(), mask], opset=23, constants=constants, oracle="reference", atol=1e-4)
        added = np.where(mask, 0, -np.inf).astype(np.float32)
        compare.check_node("Attention", [*heads(), added], opset=23, constants=constants, oracle="reference", atol=1e-4)


def test_the_soft_cap_comes_before_the_mask(compare: Any) -> None:
    compare.check_node("Attention", [*heads(), real(3, 5)], opset=23, softcap=1.5, atol=1e-4)
    compare.check_node("Attention", [*heads(), RNG.random((3, 5)) < 0.8], opset=23, softcap=0.5, atol=1e-4)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_scores_as_an_output(compare: Any, mode: int) -> None:
    more = {"outputs": ["y", "", "", "scores"], "opset": 23, "softcap": 2.0, "qk_matmul_output_mode": mode}
    compare.check_node("Attention", [*heads(), real(3, 5)], atol=1e-4, **more)


@pytest.mark.parametrize("causal", [0, 1])
def test_past_keys(compare: Any, causal: int) -> None:
    inputs = [*heads(shared=2), None, real(2, 2, 7, 8), real(2, 2, 7, 6)]
    compare.check_node("Attention", inputs, outputs=3, opset=23, is_causal=causal, atol=1e-4)


@pytest.mark.parametrize("causal", [0, 1])
def test_a_cache_of_given_length(compare: Any, causal: int) -> None:
    inputs = [*heads(), None, None, None, np.array([3, 5])]
    compare.check_node("Attention", inputs, opset=24, is_causal=causal, oracle="reference", atol=1e-4)
    short = [*heads(), real(3, 4), None, None, np.array([3, 4])]
    compare.check_node("Attention", short, opset=24, oracle="reference", atol=1e-4)


def test_refusals(compare: Any) -> None:
    reason = compare.refusal("Attention", [real(2, 3, 3, 8), real(2, 2, 5, 8), real(2, 2, 5, 8)], opset=23)
    assert reason == "queries [2, 3, 3, 8] do not fit keys [2, 2, 5, 8] and values [2, 2, 5, 8]"
    reason = compare.refusal("Attention", [real(2, 3, 8)] * 3, opset=23, q_num_heads=3, kv_num_heads=3)
    assert reason == "[2, 3, 8] does not divide into 3 heads"
