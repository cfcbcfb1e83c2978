from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.backends.tflite import serialize
from edgec.compress.dead_channels import EliminateDeadChannels
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module, Op
from edgec.ops import verify
from edgec.passes.base import PassContext, PassResult

Check = Callable[..., None]


def _eliminate(module: Module) -> PassResult:
    result = EliminateDeadChannels().run(module, PassContext())
    verify(module)
    assert not EliminateDeadChannels().run(module, PassContext()).changed, "a second run changes nothing"
    return result


def _op(module: Module, name: str) -> Op:
    return next(op for op in module.main.ops if op.name == name)


def _noise(seed: int, *shape: int, span: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(-span, span + 1, shape)


def _two_layers(net: Any, weight: np.ndarray, bias: np.ndarray, kernel: int = 1, padding: str = "VALID") -> Module:
    """A 3x3 convolution with ReLU, then a reader."""
    first = net.conv(net.x, weight, bias, activation="RELU", name="first")
    second = net.conv(first, _noise(2, 4, kernel, kernel, weight.shape[0]), _noise(3, 4), padding=padding, zero=4,
                      scale=0.3, name="second")  # fmt: skip
    module: Module = net.finish(second)
    return module


def test_zero_filter_of_real_zero_goes_even_where_windows_cross_the_border(
    int8_net: Any, assert_same_bits: Check
) -> None:
    weight, bias = _noise(1, 6, 3, 3, 3), _noise(4, 6, span=500)
    weight[[1, 4]], bias[[1, 4]] = 0, (0, -800)  # relu makes both real zero
    module = _two_layers(int8_net(7, 6, 3), weight, bias, kernel=3, padding="SAME")
    original = clone_module(module)
    result = _eliminate(module)
    assert result.changed
    assert result.note == "2 dead channels removed; MACs 7,560 → 5,040"
    first, second = _op(module, "first"), _op(module, "second")
    assert first.operand(1).shape == (4, 3, 3, 3)
    assert first.operand(2).shape == (4,)
    assert first.result.shape == (1, 5, 4, 4)
    assert second.operand(1).shape == (4, 3, 3, 4)
    quant = first.operand(1).quant
    assert quant is not None
    assert quant.scale == pytest.approx((0.01, 0.012, 0.013, 0.01))  # channels 0, 2, 3, 5
    np.testing.assert_array_equal(second.operand(2).array(), _op(original, "second").operand(2).array())
    assert_same_bits(original, module)
    assert len(serialize(module)) < len(serialize(original))


def test_other_constant_is_folded_into_the_bias_of_a_reader_without_padding(
    int8_net: Any, assert_same_bits: Check
) -> None:
    weight, bias = _noise(1, 6, 3, 3, 3), _noise(4, 6)
    weight[2], bias[2] = 0, 2000
    module = _two_layers(int8_net(7, 6, 3), weight, bias, kernel=3, padding="VALID")
    original = clone_module(module)
    assert _eliminate(module).changed
    # 2000 * 0.05 * 0.012 = 1.2 real, 24 steps of 0.05 above the zero point.
    column = _op(original, "second").operand(1).array()[..., 2].astype(int).sum(axis=(1, 2))
    before, after = (_op(m, "second").operand(2).array() for m in (original, module))
    np.testing.assert_array_equal(after, before + 24 * column)
    assert_same_bits(original, module)


def test_other_constant_stays_where_windows_cross_the_border(int8_net: Any) -> None:
    weight, bias = _noise(1, 6, 3, 3, 3), _noise(4, 6)
    weight[2], bias[2] = 0, 2000
    module = _two_layers(int8_net(7, 6, 3), weight, bias, kernel=3, padding="SAME")
    assert not _eliminate(module).changed


def test_same_padding_that_pads_nothing_does_not_keep_a_constant(int8_net: Any, assert_same_bits: Check) -> None:
    weight, bias = _noise(1, 6, 3, 3, 3), _noise(4, 6)
    weight[2], bias[2] = 0, 2000
    module = _two_layers(int8_net(7, 6, 3), weight, bias, kernel=1, padding="SAME")
    original = clone_module(module)
    assert _eliminate(module).changed
    assert_same_bits(original, module)


def test_constant_too_large_for_the_bias_stays(int8_net: Any) -> None:
    weight, bias = _noise(1, 6, 3, 3, 3), _noise(4, 6)
    weight[2], bias[2] = 0, 2000
    module = _two_layers(int8_net(7, 6, 3), weight, bias)
    reader = _op(module, "second")
    full = np.array(reader.operand(2).array())
    full[0] = 2**31 - 1
    reader.operand(2).data = full
    assert not _eliminate(module).changed


def _fully_connected_chain(net: Any, constant: int) -> Module:
    """Unit 3 of the first layer is constant; the second layer has no bias; the last ignores one of its units."""
    flat = net.emit.emit("reshape", [net.x, net.graph.constant(np.array([1, 6], np.int32))], quant=net.x.quant)
    weight, bias = _noise(1, 5, 6), _noise(4, 5)
    weight[3], bias[3] = 0, constant
    first = net.fully_connected(flat, weight, bias, name="first", activation="RELU", zero=-128)
    second = net.fully_connected(first, _noise(2, 4, 5), None, name="second")
    last_weight = _noise(5, 3, 4)
    last_weight[:, 1] = 0
    module: Module = net.finish(net.fully_connected(second, last_weight, None, name="last"))
    return module


def test_reader_without_bias_gets_one(int8_net: Any, assert_same_bits: Check) -> None:
    """In the very round in which it loses an output (LiteRT demands a bias of convolutions, so not of those)."""
    module = _fully_connected_chain(int8_net(1, 1, 6), 1560)  # 1560 * 0.05 * 0.01 / 0.1 = 7.8 steps
    original = clone_module(module)
    assert _eliminate(module).changed
    assert _op(module, "second").operand(2).shape == (3,)
    assert _op(module, "last").optional_operand(2) is None
    assert_same_bits(original, module)


def test_constant_on_which_kernels_disagree_stays(int8_net: Any, assert_same_bits: Check) -> None:
    module = _fully_connected_chain(int8_net(1, 1, 6), 1500)  # 7.5 steps: 7 or 8, by the kernel's rounding
    original = clone_module(module)
    assert _eliminate(module).changed  # the ignored unit goes all the same
    assert _op(module, "first").result.shape == (1, 5)
    assert _op(module, "second").optional_operand(2) is None
    assert_same_bits(original, module)


def test_shared_bias_is_changed_for_one_reader_only(int8_net: Any, assert_same_bits: Check) -> None:
    net = int8_net(5, 5, 2)
    weight, bias = _noise(1, 5, 1, 1, 2), _noise(4, 5)
    weight[3], bias[3] = 0, 1500
    first = net.conv(net.x, weight, bias, name="first", activation="RELU")
    second = net.conv(first, _noise(2, 4, 1, 1, 5), _noise(3, 4), name="second", zero=0)
    other = net.conv(net.x, _noise(6, 4, 1, 1, 2), _noise(3, 4), name="other", zero=0)
    module = net.finish(second, other)
    _op(module, "other").set_operand(2, _op(module, "second").operand(2))
    original = clone_module(module)
    assert _eliminate(module).changed
    np.testing.assert_array_equal(_op(module, "other").operand(2).array(), _op(original, "other").operand(2).array())
    assert_same_bits(original, module)


def test_filter_that_the_activation_always_clamps_goes(int8_net: Any, assert_same_bits: Check) -> None:
    """Weights sum to 24 at most 255 steps: 6120 lies below a bias of -7000, so that ReLU always gives zero."""
    net = int8_net(5, 5, 2)
    weight, bias = _noise(1, 5, 1, 1, 2), _noise(4, 5)
    weight[3], bias[3] = 12, -7000
    module = net.finish(
        net.conv(
            net.conv(net.x, weight, bias, name="first", activation="RELU"), _noise(2, 4, 1, 1, 5), _noise(3, 4), zero=0
        )
    )
    original = clone_module(module)
    assert _eliminate(module).changed
    assert _op(module, "first").operand(1).shape[0] == 4
    assert_same_bits(original, module)


def test_filter_that_the_activation_almost_always_clamps_stays(int8_net: Any) -> None:
    net = int8_net(5, 5, 2, zero=-128)
    weight, bias = _noise(1, 5, 1, 1, 2), _noise(4, 5)
    weight[3], bias[3] = 12, -(24 * 255 - 700)  # the brightest input reaches 700 * 0.05 * 0.013 = 0.455 real
    module = net.finish(
        net.conv(
            net.conv(net.x, weight, bias, name="first", activation="RELU"), _noise(2, 4, 1, 1, 5), _noise(3, 4), zero=0
        )
    )
    assert not _eliminate(module).changed


def test_channel_that_no_reader_uses_goes_upstream_through_depthwise(int8_net: Any, assert_same_bits: Check) -> None:
    net = int8_net(6, 6, 3)
    first = net.conv(net.x, _noise(1, 8, 3, 3, 3), _noise(4, 8), name="first", activation="RELU6")
    middle = net.conv(first, _noise(2, 1, 3, 3, 8), _noise(5, 8), opcode="depthwise_conv_2d", padding="SAME",
                      activation="RELU6", name="middle")  # fmt: skip
    last_weight = _noise(6, 4, 1, 1, 8)
    last_weight[..., [0, 5]] = 0
    module = net.finish(net.conv(middle, last_weight, _noise(7, 4), name="last", zero=9))
    original = clone_module(module)
    assert _eliminate(module).changed
    assert [op.result.shape[3] for op in module.main.ops] == [6, 6, 4]
    assert_same_bits(original, module)


def test_residual_channel_goes_only_when_dead_on_both_branches(int8_net: Any, assert_same_bits: Check) -> None:
    net = int8_net(6, 6, 3)
    dead = _noise(1, 8, 1, 1, 3)
    dead[[2, 3]] = 0
    other = _noise(2, 8, 1, 1, 3)
    other[3] = 0
    zeros = np.zeros(8, int)
    a = net.conv(net.x, dead, zeros, name="a", zero=0)
    b = net.conv(net.x, other, zeros, name="b", zero=7)
    module = net.finish(net.conv(net.add(a, b), _noise(6, 4, 3, 3, 8), _noise(7, 4), padding="SAME", zero=9))
    original = clone_module(module)
    assert _eliminate(module).changed
    assert [op.result.shape[3] for op in module.main.ops] == [7, 7, 7, 4]
    assert_same_bits(original, module)


def test_constant_map_is_folded_through_flatten(int8_net: Any, assert_same_bits: Check) -> None:
    """Behind a padded depthwise a constant varies from place to place, which a flattened layer can still fold."""
    net = int8_net(4, 4, 3)
    weight, bias = _noise(1, 6, 1, 1, 3), _noise(4, 6)
    weight[2], bias[2] = 0, 3000
    first = net.conv(net.x, weight, bias, name="first", activation="RELU")
    middle = net.conv(first, _noise(2, 1, 3, 3, 6), _noise(5, 6), opcode="depthwise_conv_2d", padding="SAME", zero=0)
    shape = net.graph.constant(np.array([1, 96], np.int32))
    flat = net.emit.emit("reshape", [middle, shape], quant=middle.quant)
    module = net.finish(net.fully_connected(flat, _noise(6, 5, 96), _noise(7, 5)))
    original = clone_module(module)
    assert _eliminate(module).changed
    assert [op.result.shape for op in module.main.ops] == [(1, 4, 4, 5), (1, 4, 4, 5), (1, 80), (1, 5)]
    assert_same_bits(original, module)


def test_all_filters_dead_leaves_one_channel(int8_net: Any, assert_same_bits: Check) -> None:
    module = _two_layers(int8_net(5, 5, 2), np.zeros((6, 1, 1, 2), int), _noise(4, 6))
    original = clone_module(module)
    assert _eliminate(module).changed
    assert _op(module, "first").result.shape == (1, 5, 5, 1)
    assert_same_bits(original, module)


def test_graph_output_keeps_its_dead_channels(int8_net: Any) -> None:
    net = int8_net(5, 5, 2)
    weight = _noise(1, 5, 1, 1, 2)
    weight[1] = 0
    module = net.finish(net.conv(net.x, weight, np.zeros(5, int)))
    assert not _eliminate(module).changed


def test_float_zero_filter_is_folded(parse: Callable[[str], Module], assert_close: Check) -> None:
    module = parse(
        """
        graph @main(%x: float32[1,2,2,2]) {
          $w = constant float32[3,1,1,2] [1, 2, 0, 0, 3, -1]
          $b = constant float32[3] [0.5, 4, -1]
          %a = conv_2d(%x, $w, $b) {padding = "VALID", stride_h = 1, stride_w = 1, dilation_h_factor = 1,
                                    dilation_w_factor = 1} : float32[1,2,2,3]
          %r = relu(%a) : float32[1,2,2,3]
          $v = constant float32[2,1,1,3] [1, 10, 2, -1, 5, 1]
          $c = constant float32[2] [0, 0]
          %y = conv_2d(%r, $v, $c) {padding = "VALID", stride_h = 1, stride_w = 1, dilation_h_factor = 1,
                                      dilation_w_factor = 1} : float32[1,2,2,2]
          return %y
        }"""
    )
    original = clone_module(module)
    assert _eliminate(module).changed
    last = module.main.last_op
    assert last is not None
    np.testing.assert_array_equal(last.operand(1).array().reshape(2, 2), [[1, 2], [-1, 1]])
    np.testing.assert_array_equal(last.operand(2).array(), [40, 20])
    assert_close(original, module)


@st.composite
def _sparse_nets(draw: st.DrawFn) -> tuple[int, list[tuple[str, int, str, str]], list[float]]:
    """Seed, layers (kind, channels, padding, activation) and the share of zero filters and columns in each."""
    kind = st.sampled_from(["conv3", "conv1", "depthwise", "residual", "pool", "concat"])
    layer = st.tuples(
        kind, st.integers(2, 9), st.sampled_from(["SAME", "VALID"]), st.sampled_from(["NONE", "RELU", "RELU6"])
    )
    layers = draw(st.lists(layer, min_size=1, max_size=5))
    shares = draw(st.lists(st.sampled_from([0.0, 0.3, 0.7]), min_size=7, max_size=7))
    return draw(st.integers(0, 2**16)), layers, shares


def _random_net(net_class: Any, seed: int, layers: list[tuple[str, int, str, str]], shares: list[float]) -> Module:
    rng = np.random.default_rng(seed)
    net = net_class(11, 10, 3, zero=int(rng.integers(-128, 128)))

    def weights(share: float, *shape: int) -> np.ndarray:
        data = rng.integers(-60, 61, shape)
        data[rng.random(shape[0]) < share] = 0
        data[..., rng.random(shape[-1]) < share] = 0
        return data

    def bias(count: int) -> np.ndarray:
        return np.asarray(rng.integers(-9000, 9001, count) * (rng.random(count) < 0.8))

    def conv(x: Any, channels: int, kernel: int, padding: str, activation: str, share: float) -> Any:
        return net.conv(
            x, weights(share, channels, kernel, kernel, x.shape[3]), bias(channels), padding=padding,
            activation=activation, zero=int(rng.integers(-128, 100)), scale=float(rng.uniform(0.02, 0.4)),
        )  # fmt: skip

    x = net.x
    for (kind, channels, padding, activation), share in zip(layers, shares):
        small = x.shape[1] < 3
        if kind == "conv3" and not small:
            x = conv(x, channels, 3, padding, activation, share)
        elif kind == "depthwise" and not small:
            multiplier = int(rng.integers(1, 3))
            shape = (1, 3, 3, x.shape[3] * multiplier)
            data = rng.integers(-60, 61, shape)
            data[..., rng.random(shape[3]) < share] = 0
            x = net.conv(x, data, bias(shape[3]), opcode="depthwise_conv_2d", padding=padding, activation=activation,
                         zero=int(rng.integers(-128, 100)))  # fmt: skip
        elif kind == "residual":
            x = net.add(conv(x, channels, 1, "SAME", activation, share), conv(x, channels, 1, "SAME", "NONE", share))
        elif kind == "pool" and not small:
            x = net.emit.emit("max_pool_2d", [x], quant=x.quant, padding=padding, filter_height=2, filter_width=2,
                              stride_h=1, stride_w=1)  # fmt: skip
        elif kind == "concat":
            parts = [conv(x, channels, 1, "SAME", "RELU", share), x]
            quant = parts[0].quant
            parts[1] = net.emit.emit("quantize", [x], quant=quant, result_types=[x.type])
            x = net.emit.emit("concatenation", parts, axis=3, quant=quant)
        else:
            x = conv(x, channels, 1, padding, activation, share)
    return net.finish(conv(x, 4, 1, "SAME", "NONE", shares[-1]))  # type: ignore[no-any-return]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_sparse_nets())
def test_random_sparse_nets_keep_every_output_bit(
    int8_net: Any, assert_same_bits: Check, drawn: tuple[int, list[tuple[str, int, str, str]], list[float]]
) -> None:
    module = _random_net(int8_net, *drawn)
    original = clone_module(module)
    _eliminate(module)
    assert_same_bits(original, module, 6)
