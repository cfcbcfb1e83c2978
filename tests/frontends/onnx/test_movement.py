from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


@pytest.mark.parametrize("permutation", [None, (0, 2, 3, 1), (3, 1, 0, 2)], ids=str)
def test_transpose(compare: Any, permutation: tuple[int, ...] | None) -> None:
    attributes = {} if permutation is None else {"perm": permutation}
    compare.check_node("Transpose", [real(2, 3, 4, 5)], **attributes)


def test_transpose_of_rank_6_and_of_other_types(compare: Any) -> None:
    compare.check_node("Transpose", [real(1, 2, 3, 2, 2, 3)], perm=[0, 1, 4, 2, 5, 3])
    compare.check_node("Transpose", [RNG.integers(0, 9, (2, 3))])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(compare: Any, axis: int) -> None:
    shapes = [[2, 3, 4], [2, 3, 4], [2, 3, 4]]
    shapes[1][axis] = 5
    compare.check_node("Concat", [real(*s) for s in shapes], axis=axis)


def test_concat_leaves_out_what_is_empty(compare: Any) -> None:
    module = compare.check_node("Concat", [real(2, 3), real(2, 0)], constants=[1], axis=1)
    assert not list(module.main.ops)


# -- Split -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [7, 11])
def test_split_by_attribute(compare: Any, opset: int) -> None:
    compare.check_node("Split", [real(2, 6)], outputs=3, axis=1, opset=opset)
    compare.check_node("Split", [real(2, 6)], outputs=2, axis=1, split=[1, 5], opset=opset)


@pytest.mark.parametrize("opset", [13, 18])
def test_split_by_operand(compare: Any, opset: int) -> None:
    compare.check_node("Split", [real(2, 6, 2), ints(1, 2, 3)], constants=[1], outputs=3, axis=-2, opset=opset)


def test_split_by_number(compare: Any) -> None:
    module = compare.check_node("Split", [real(6, 2)], outputs=3, num_outputs=3, opset=18)
    assert [op.opcode for op in module.main.ops] == ["split"]
    compare.check_node("Split", [real(2, 7)], outputs=3, num_outputs=3, axis=1, opset=18)


def test_split_of_types_without_a_kernel(compare: Any) -> None:
    module = compare.check_node("Split", [RNG.random((2, 4)) < 0.5], outputs=2, axis=1, opset=13)
    assert [op.opcode for op in module.main.ops] == ["slice", "slice"]


# -- Slice -----------------------------------------------------------------------------------------------------------


def test_slice_by_attribute(compare: Any) -> None:
    compare.check_node("Slice", [real(4, 5, 6)], starts=[1, -3], ends=[3, 2**62], axes=[0, 2], opset=9)
    compare.check_node("Slice", [real(4, 5)], starts=[0, 2], ends=[-1, 4], opset=7)


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([0], [2], None, None), ([1, 0], [HUGE, 3], [0, 2], None), ([-1], [-HUGE], [1], [-1]), ([4], [0], [1], [-2]),
        ([0, 1], [HUGE, HUGE], [2, 1], [3, 2]), ([-100], [100], [-1], [1]), ([HUGE, 0], [-HUGE, 2], [2, 0], [-4, 1]),
    ],
)  # fmt: skip
def test_slice_by_operands(compare: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> None:
    operands = [real(3, 5, 6), ints(*starts), ints(*ends), None if axes is None else ints(*axes)]
    if steps is not None:
        operands.append(ints(*steps))
    given_ = [i for i, v in enumerate(operands) if i and v is not None]
    compare.check_node("Slice", operands, constants=given_, opset=13)


def test_a_slice_of_everything_leaves_no_op(compare: Any) -> None:
    module = compare.check_node("Slice", [real(3, 5), ints(0), ints(HUGE)], constants=[1, 2])
    assert not list(module.main.ops)


bounds = st.integers(-8, 8)
steps = st.integers(-3, 3).filter(bool)


@settings(max_examples=60)
@given(data=st.lists(st.tuples(st.integers(1, 6), bounds, bounds, steps), min_size=1, max_size=4))
def test_slice_is_numpys(compare: Any, data: list[tuple[int, int, int, int]]) -> None:
    sizes, starts, ends, by = zip(*data)
    x = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    if not x[tuple(slice(*entry) for entry in zip(starts, ends, by))].size:
        return  # nothing left: no runtime has such an output
    operands = [x, ints(*starts), ints(*ends), ints(*range(len(sizes))), ints(*by)]
    compare.check_node("Slice", operands, constants=[1, 2, 3, 4], rtol=0, atol=0)


# -- Pad -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("opset", [7, 11, 13, 18])
def test_pad_of_every_opset(compare: Any, mode: str, opset: int) -> None:
    pads = [0, 0, 1, 2, 0, 0, 2, 1]
    if opset < 11:
        compare.check_node("Pad", [real(1, 2, 4, 5)], pads=pads, mode=mode, opset=opset)
    else:
        compare.check_node("Pad", [real(1, 2, 4, 5), ints(*pads)], constants=[1], mode=mode, opset=opset)


def test_pad_with_a_value(compare: Any) -> None:
    compare.check_node("Pad", [real(2, 3)], pads=[1, 0, 0, 2], value=1.5, opset=10)
    compare.check_node("Pad", [real(2, 3), ints(1, 0, 0, 2), np.float32(-2)], constants=[1, 2])
    compare.check_node("Pad", [real(2, 3), ints(1, 0, 0, 2), np.float32(-2)], constants=[1])
    compare.check_node("Pad", [np.ones((2, 3), np.int64), ints(1, 0, 0, 2), np.int64(7)], constants=[1, 2])


def test_pad_of_named_axes(compare: Any) -> None:
    compare.check_node(
        "Pad", [real(2, 3, 4), ints(1, 1, 3, 0), None, ints(-1, 0)], constants=[1, 3], mode="reflect", opset=18
    )


def test_pad_wraps(compare: Any) -> None:
    compare.check_node("Pad", [real(3, 4), ints(2, 0, 1, 5)], constants=[1], mode="wrap", opset=19)


def test_negative_pads_cut(compare: Any) -> None:
    compare.check_node("Pad", [real(4, 5), ints(-1, 2, 0, -2)], constants=[1])


def test_pad_of_rank_6(compare: Any) -> None:
    compare.check_node("Pad", [real(1, 2, 3, 2, 2, 3), ints(0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2)], constants=[1])


def test_narrow_edges_are_mirrored(compare: Any) -> None:
    module = compare.check_node("Pad", [real(1, 2, 3), ints(0, 0, 1, 0, 0, 1)], constants=[1], mode="edge")
    assert [op.opcode for op in module.main.ops] == ["mirror_pad"]


@settings(max_examples=40)
@given(
    axes=st.lists(st.tuples(st.integers(3, 5), st.integers(-1, 2), st.integers(-1, 2)), min_size=1, max_size=4),
    mode=st.sampled_from(["constant", "edge", "wrap"]),
)
def test_pad_is_onnxruntimes(compare: Any, axes: list[tuple[int, int, int]], mode: str) -> None:
    sizes, before, after = zip(*axes)
    if mode == "wrap":
        before, after = tuple(max(b, 0) for b in before), tuple(max(a, 0) for a in after)
    x = np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)
    compare.check_node("Pad", [x, ints(*before, *after)], constants=[1], mode=mode, opset=19, rtol=0, atol=0)


# -- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("channels", [4, 12])
@pytest.mark.parametrize("opset", [11, 13])
def test_depth_to_space(compare: Any, mode: str, channels: int, opset: int) -> None:
    compare.check_node("DepthToSpace", [real(2, channels, 3, 2)], blocksize=2, mode=mode, opset=opset)


def test_depth_to_space_before_modes(compare: Any) -> None:
    compare.check_node("DepthToSpace", [real(1, 18, 2, 3)], blocksize=3, opset=7)


def test_space_to_depth(compare: Any) -> None:
    compare.check_node("SpaceToDepth", [real(2, 3, 4, 6)], blocksize=2)


def test_reverse_sequence(compare: Any) -> None:
    x, lengths = real(4, 3, 2), ints(1, 4, 2)
    compare.check_node("ReverseSequence", [x, lengths], time_axis=0, batch_axis=1)
    compare.check_node("ReverseSequence", [x.swapaxes(0, 1).copy(), lengths], time_axis=1, batch_axis=0)


def test_refusals(compare: Any) -> None:
    reason = "its shape follows from numbers that are only known at run time, and the model states none"
    assert compare.refusal("Slice", [real(2, 3), ints(0), ints(1)]) == reason
    assert compare.refusal("Pad", [real(2), ints(0, 1)]) == reason
    sizes = "sizes [1, 1] do not cut axis 0 of [3]"
    assert compare.refusal("Split", [real(3), ints(1, 1)], constants=[1], outputs=2) == sizes
    many = compare.refusal("Split", [real(3)], outputs=2, opset=18, num_outputs=2**40)
    assert many == "num_outputs is 1099511627776, it has 2 outputs"
    missing = compare.refusal("Split", [real(3), ints(1, 1, 1)], constants=[1], outputs=2)
    assert missing == "3 sizes for 2 outputs"
    long = compare.refusal("Split", [real(3), np.ones(2**17, np.int64)], constants=[1], outputs=2)
    assert long == "its input 1 lists 131072 numbers, more than 65536"
    step = compare.refusal("Slice", [real(3), ints(0), ints(2), ints(0), ints(0)], constants=[1, 2, 3, 4])
    assert step == "a step is 0"
    assert compare.refusal("Pad", [real(3), ints(1, 1)], constants=[1], mode="odd") == "mode 'odd' is unknown"
