from typing import Any

import numpy as np

from edgec.compress.coupling import ChannelGroup, analyse_coupling, find_groups
from edgec.ir.graph import Module
from edgec.ops import build


def _by_name(module: Module) -> dict[str, ChannelGroup]:
    return {group.name: group for group in find_groups(module.main)}


def _sites(group: ChannelGroup) -> set[tuple[str, int, int]]:
    """(op, operand, axis) of the constants that a group slices."""
    return {(m.op.name, m.operand, m.axis) for m in group.members if m.op is not None}


def test_chain_of_conv_depthwise_conv(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    module = net.finish(net.conv(net.depthwise(a, name="d"), 5, name="b"))
    groups = _by_name(module)
    assert list(groups) == ["a", "b"]
    assert _sites(groups["a"]) == {("a", 1, 0), ("a", 2, 0), ("d", 1, 3), ("d", 2, 0), ("b", 1, 3)}
    assert groups["a"].prunable == tuple(range(8))
    assert groups["b"].prunable == ()
    assert set(groups["b"].frozen.values()) == {"'b' is a graph output"}


def test_residual_adds_couple_all_their_sources(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    b = net.conv(a, 8, name="b")
    c = net.conv(net.emit.emit("add", [a, b]), 8, name="c")
    total = net.emit.emit("add", [net.emit.emit("add", [a, b], name="again"), c])
    module = net.finish(net.conv(total, 2, name="last"))
    groups = _by_name(module)
    assert list(groups) == ["a", "last"]
    assert groups["a"].producers == ("a", "b", "c")
    assert groups["a"].channels == 8


def test_concat_keeps_groups_apart_and_maps_offsets(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a, b = net.conv(net.x, 4, name="a"), net.conv(net.x, 6, name="b")
    module = net.finish(net.conv(net.emit.emit("concatenation", [a, b], axis=-1), 2, name="last"))
    groups = _by_name(module)
    reader = next(m for m in groups["b"].members if m.op is not None and m.op.name == "last")
    np.testing.assert_array_equal(reader.channels, [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5])


def test_flatten_maps_a_channel_to_height_times_width_columns(float_net: Any) -> None:
    net = float_net(2, 3, 3)
    a = net.conv(net.x, 4, name="a")
    flat = net.emit.emit("reshape", [a, net.ints(1, 24)])
    module = net.finish(net.dense(flat, 5, name="dense"))
    reader = next(m for m in _by_name(module)["a"].members if m.op is not None and m.op.name == "dense")
    assert reader.axis == 1
    np.testing.assert_array_equal(reader.channels, [0, 1, 2, 3] * 6)


def test_squeeze_and_excite_couples_the_gate_with_what_it_scales(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    pooled = net.emit.emit("mean", [a, net.ints(1, 2)], keep_dims=True)
    gate = net.emit.emit("logistic", [net.conv(net.conv(pooled, 2, name="squeeze"), 8, name="excite")])
    module = net.finish(net.conv(net.emit.emit("mul", [a, gate]), 2, name="last"))
    groups = _by_name(module)
    assert groups["a"].producers == ("a", "excite")
    assert groups["squeeze"].prunable == (0, 1)


def test_split_couples_only_what_is_added(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    halves = net.emit.emit_op("split", [net.graph.constant(np.array(3, np.int32)), a], num_splits=2)
    total = net.emit.emit("add", list(halves.results))
    module = net.finish(net.conv(total, 2, name="last"))
    group = _by_name(module)["a"]
    assert group.channels == 4, "channels i and i + 4 go together"
    producer = next(m for m in group.members if m.op is not None and m.op.name == "a" and m.operand == 1)
    np.testing.assert_array_equal(producer.channels, [0, 1, 2, 3, 0, 1, 2, 3])


def test_depth_multiplier_keeps_the_outputs_of_an_input_together(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    module = net.finish(net.conv(net.depthwise(net.conv(net.x, 4, name="a"), 2, name="d"), 2, name="last"))
    member = next(m for m in _by_name(module)["a"].members if m.op is not None and m.op.name == "d" and m.operand == 1)
    np.testing.assert_array_equal(member.channels, [0, 0, 1, 1, 2, 2, 3, 3])


def test_grouped_convolution_and_shuffle_freeze_with_a_reason(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    grouped = net.emit.emit("conv_2d", [a, net.noise(8, 1, 1, 4), net.noise(8)], name="g", stride_h=1, stride_w=1)
    b = net.conv(grouped, 8, name="b")
    shuffled = net.emit.emit("reshape", [b, net.ints(1, 4, 4, 2, 4)], name="shuffle")
    module = net.finish(shuffled)
    groups = _by_name(module)
    assert set(groups["a"].frozen.values()) == {"conv_2d 'g' is a grouped convolution"}
    assert set(groups["g"].frozen.values()) == {"conv_2d 'g' is a grouped convolution"}
    assert set(groups["b"].frozen.values()) == {"reshape 'shuffle' regroups channels"}


def test_op_without_a_rule_freezes_what_it_reads(float_net: Any) -> None:
    net = float_net(4, 4, 3)
    a = net.conv(net.x, 8, name="a")
    module = net.finish(net.conv(net.emit.emit("softmax", [a], name="s", beta=1.0), 2, name="last"))
    assert set(_by_name(module)["a"].frozen.values()) == {"softmax 's' is not known to keep channels apart"}


def test_long_chain_of_adds_is_one_group(float_net: Any) -> None:
    net = float_net(2, 2, 3)
    x = net.conv(net.x, 8, name="a")
    for _ in range(300):
        x = net.emit.emit("add", [x, net.conv(x, 8)])
    module = net.finish(build(net.graph).emit("mean", [x, net.ints(1, 2)]))
    coupling = analyse_coupling(module.main)
    assert len({tuple(coupling.labels[op.result]) for op in module.main.ops if op.opcode == "add"}) == 1
