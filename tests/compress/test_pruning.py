from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.backends.tflite import serialize
from edgec.compress.coupling import find_groups
from edgec.compress.importance import channel_scores
from edgec.compress.pruning import PrunedGroup, apply_pruning, plan_pruning, prune_to_budget
from edgec.cost.macs import module_macs
from edgec.errors import CompressionError
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module
from edgec.ops import verify

Check = Callable[..., None]


def _scaled(net: Any, x: Any, factors: list[float], name: str) -> Any:
    """A 1x1 convolution whose filters have the L1 norms `factors`."""
    result = net.conv(x, len(factors), name=name)
    weight = result.producer.operand(1)
    norms = np.abs(weight.data).sum(axis=(1, 2, 3), keepdims=True)
    weight.data = (weight.data / norms * np.array(factors).reshape(-1, 1, 1, 1)).astype(np.float32)
    return result


def test_weakest_channels_go_and_costs_fall(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = _scaled(net, net.x, [5, 1, 4, 2, 6, 7, 8, 3], "a")
    last = net.conv(a, 2, name="last")
    last.producer.operand(1).data = np.ones((2, 1, 1, 8), np.float32)
    module = net.finish(last)
    kept = np.delete(module.main.first_op.operand(1).array(), [1, 3], axis=0)
    plan = plan_pruning(module, 0.25)
    assert [(g.name, g.removed) for g in plan.groups] == [("a", (1, 3)), ("last", ())]
    result = apply_pruning(module, plan)
    verify(module)
    assert result.groups == (PrunedGroup("a", 8, 6),)
    assert (result.macs_before, result.macs_after) == (16 * (24 + 16), 16 * (18 + 12))
    assert result.weight_bytes_before - result.weight_bytes_after == 4 * (2 * 3 + 2 + 2 * 2)
    first = module.main.first_op
    assert first is not None
    np.testing.assert_array_equal(first.operand(1).array(), kept)


def test_scores_average_the_normalised_norms_of_makers_and_readers(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = _scaled(net, net.x, [1, 3], "a")
    last = net.conv(a, 1, name="last")
    last.producer.operand(1).data = np.array([30, 10], np.float32).reshape(1, 1, 1, 2)
    module = net.finish(last)
    group = find_groups(module.main)[0]
    np.testing.assert_allclose(channel_scores(group, "l1"), [(0.5 + 1.5) / 2, (1.5 + 0.5) / 2], rtol=1e-6)


def test_kept_counts_are_multiples(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    x = net.conv(net.conv(net.conv(net.x, 20), 16), 30)
    module = net.finish(net.conv(x, 2, name="last"))
    plan = plan_pruning(module, 0.4, channel_multiple=8)
    result = apply_pruning(module, plan)
    assert {g.channels_after % 8 for g in result.groups} == {0}
    assert abs(plan.removed_channels - 0.4 * 66) <= 4


def test_no_group_collapses(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = _scaled(net, net.x, [1e-6] * 8, "a")
    module = net.finish(net.conv(net.conv(a, 64, name="b"), 2, name="last"))
    result = apply_pruning(module, plan_pruning(module, 0.95))
    assert {g.name: g.channels_after for g in result.groups} == {"a": 2, "b": 16}


def test_larger_ratio_contains_the_smaller(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    module = net.finish(net.conv(net.conv(net.conv(net.x, 24), 40), 2))
    before: list[set[int]] = [set(), set(), set()]
    for ratio in (0.0, 0.1, 0.2, 0.5, 0.7):
        now = [set(g.removed) for g in plan_pruning(module, ratio, channel_multiple=4).groups]
        assert all(small <= large for small, large in zip(before, now))
        before = now


def test_pruning_channels_that_are_zero_changes_no_output(float_net: Any, assert_close: Check) -> None:
    net = float_net(5, 5, 3)
    a, b = net.conv(net.x, 8, name="a"), net.conv(net.x, 8, name="b")
    for value in (a, b):
        for index in (1, 2):
            data = np.array(value.producer.operand(index).array())
            data[[2, 5]] = 0
            value.producer.operand(index).data = data
    total = net.emit.emit("add", [a, b])
    joined = net.emit.emit("concatenation", [total, net.x], axis=3)
    module = net.finish(net.conv(joined, 4, 3, name="last"))
    original = clone_module(module)
    plan = plan_pruning(module, 0.25)
    assert plan.groups[0].removed == (2, 5)
    apply_pruning(module, plan)
    assert_close(original, module)


def test_unequal_halves_become_split_v(float_net: Any, run_float: Callable[[Module], list[np.ndarray]]) -> None:
    net = float_net(4, 4, 3)
    a = _scaled(net, net.x, [1, 2, 9, 9, 9, 9], "a")
    halves = net.emit.emit_op("split", [net.graph.constant(np.array(3, np.int32)), a], num_splits=2)
    readers = [net.conv(half, 2) for half in halves.results]
    for reader in readers:
        reader.producer.operand(1).data = np.ones((2, 1, 1, 3), np.float32)
    module = net.finish(*readers)
    apply_pruning(module, plan_pruning(module, 0.3))
    verify(module)
    split = next(op for op in module.main.ops if op.opcode.startswith("split"))
    assert split.opcode == "split_v"
    assert sum(r.shape[3] for r in split.results) == 4
    run_float(module)


def test_budget_search_finds_the_least_ratio(float_net: Any) -> None:
    net = float_net(8, 8, 3)
    module = net.finish(net.conv(net.conv(net.conv(net.x, 32, 3), 32, 3), 4))
    before = serialize(module)
    limit = module_macs(module) // 2
    found = prune_to_budget(module, lambda m: module_macs(m) <= limit, channel_multiple=4)
    assert found.plan is not None
    assert serialize(module) == before, "the module itself is left as it is"
    assert found.tried[0] == (0.0, False)
    highest_miss = max(ratio for ratio, held in found.tried if not held)
    assert 0 < found.plan.ratio - highest_miss <= 1 / 64
    apply_pruning(module, found.plan)
    assert module_macs(module) <= limit


def test_budget_that_holds_already_prunes_nothing(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    found = prune_to_budget(net.finish(net.conv(net.conv(net.x, 8), 2)), lambda _: True)
    assert found.plan is not None
    assert found.plan.removed_channels == 0
    assert found.reason == "the budget holds without pruning"


def test_budget_out_of_reach_gives_no_plan(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    found = prune_to_budget(net.finish(net.conv(net.conv(net.x, 8), 2)), lambda _: False)
    assert found.plan is None
    assert found.reason == "the budget is missed even with 75% of the channels removed"
    fixed = prune_to_budget(float_net(4, 4, 3).finish(), lambda _: False)
    assert fixed.plan is None
    assert fixed.reason == (
        "the budget is missed and no channel can be removed: it has no convolution or fully connected layer"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": 1.0}, "Pruning: the ratio is 1; it should lie between 0 and 1 (0.3 removes 30 %)."),
        ({"ratio": 0.3, "importance": "l3"}, "Pruning: importance is 'l3'; it should be l1 or l2."),
        ({"ratio": 0.3}, "Pruning 'net': no channel can be removed: 'only' is a graph output."),
    ],
)
def test_refusals(float_net: Any, arguments: dict[str, Any], message: str) -> None:
    net = float_net(4, 4, 3)
    with pytest.raises(CompressionError) as caught:
        plan_pruning(net.finish(net.conv(net.x, 8, name="only")), **arguments)
    assert str(caught.value) == message


def test_plan_for_another_module_is_refused(float_net: Any) -> None:
    net, other = float_net(4, 4, 3), float_net(4, 4, 3)
    plan = plan_pruning(net.finish(net.conv(net.conv(net.x, 8, name="a"), 2)), 0.3)
    with pytest.raises(CompressionError, match="was made for another module; plan anew"):
        apply_pruning(other.finish(other.conv(other.conv(other.x, 9, name="a"), 2)), plan)


def _random_net(net: Any, choices: list[tuple[str, int]]) -> Module:
    x = net.conv(net.x, 6)
    for kind, channels in choices:
        if kind == "residual":
            x = net.emit.emit("add", [x, net.conv(net.conv(x, channels, 3), x.shape[3])])
        elif kind == "depthwise":
            x = net.depthwise(x, 1 + channels % 2)
        elif kind == "concat":
            x = net.emit.emit("concatenation", [x, net.conv(x, channels)], axis=3)
        elif kind == "split":
            ends = net.emit.emit_op(
                "split_v", [x, net.ints(1, x.shape[3] - 1), net.graph.constant(np.array(-1, np.int32))], num_splits=2
            )
            x = net.emit.emit("concatenation", [net.conv(ends.results[1], channels), ends.results[0]], axis=3)
        elif kind == "slice":
            size = (1, *x.shape[1:3], x.shape[3] - 2)
            x = net.emit.emit("slice", [x, net.ints(0, 0, 0, 1), net.ints(*size)]) if size[3] > 1 else x
        elif kind == "gate":
            pooled = net.emit.emit("mean", [x, net.ints(1, 2)], keep_dims=True)
            x = net.emit.emit("mul", [x, net.conv(pooled, x.shape[3])])
        elif kind == "prelu":
            x = net.emit.emit("prelu", [x, net.noise(1, 1, x.shape[3])])
        elif kind == "pad":
            x = net.emit.emit("pad", [x, net.graph.constant(np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))])
        elif kind == "up":
            shape = net.ints(1, x.shape[1] * 2, x.shape[2] * 2, channels)
            operands = [shape, net.noise(channels, 2, 2, x.shape[3]), x, net.noise(channels)]
            x = net.emit.emit("transpose_conv", operands, padding="SAME", stride_h=2, stride_w=2)
        else:
            x = net.conv(x, channels, 3)
    flat = net.emit.emit("reshape", [x, net.ints(1, x.type.elements)])
    module: Module = net.finish(net.dense(net.dense(flat, 9), 3))
    return module


_KINDS = ["conv", "residual", "depthwise", "concat", "split", "slice", "gate", "prelu", "pad", "up"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    choices=st.lists(st.tuples(st.sampled_from(_KINDS), st.integers(2, 10)), min_size=1, max_size=6),
    ratio=st.sampled_from([0.1, 0.3, 0.6, 0.9]),
    multiple=st.sampled_from([1, 2, 4]),
    importance=st.sampled_from(["l1", "l2"]),
)
def test_random_nets_stay_valid_and_run(
    float_net: Any, run_float: Any, choices: list[tuple[str, int]], ratio: float, multiple: int, importance: Any
) -> None:
    module = _random_net(float_net(4, 4, 3), choices)
    shapes = [out.shape for out in run_float(module)]
    plan = plan_pruning(module, ratio, channel_multiple=multiple, importance=importance)
    result = apply_pruning(module, plan)
    verify(module)
    assert [out.shape for out in run_float(module)] == shapes
    if plan.removed_channels:
        assert result.macs_after < result.macs_before
        assert result.weight_bytes_after < result.weight_bytes_before
