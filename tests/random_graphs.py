"""A hypothesis strategy for small valid float graphs, and one for whole modules with everything the text form can hold.

    from random_graphs import float_graphs

    @given(float_graphs())
    def test_outputs_stay(graph): ...

`tests` stands on the module path (pytest's `pythonpath`), so any test file can import this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build

ACTIVATIONS = ("NONE", "RELU", "RELU6")
MAX_OPS = 8


class GraphMaker:
    """Grows one NHWC float graph; `images` are the rank-4 values that later ops may take."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.graph = Graph()
        self.random = np.random.default_rng(draw(st.integers(0, 2**16)))
        side, channels = draw(st.sampled_from([4, 5, 8])), draw(st.integers(1, 4))
        self.images = [self.graph.add_input("image", TensorType((1, side, side, channels), DType.FLOAT32))]

    @property
    def builder(self) -> Builder:
        """Emits at the end of the graph, with a source of its own for each op."""
        return build(self.graph, source=f"node_{len(self.graph)}")

    def image(self) -> Value:
        """One of the images so far."""
        return self.draw(st.sampled_from(self.images))

    def weights(self, *shape: int) -> Value:
        """Random weights; moderate, so that ranges stay moderate through eight ops."""
        return self.builder.constant(self.random.normal(0, 0.4, shape).astype(np.float32))

    def window(self, x: Value) -> dict[str, Any]:
        """Stride, padding and activation of a sliding window that fits `x`."""
        stride = self.draw(st.sampled_from([1, 1, 2]))
        return {
            "stride_h": stride,
            "stride_w": stride,
            "padding": self.draw(st.sampled_from(["SAME", "VALID"])) if min(x.shape[1:3]) >= 3 else "SAME",
            "fused_activation_function": self.draw(st.sampled_from(ACTIVATIONS)),
        }

    def conv(self) -> Value:
        """A convolution with 1x1 or 3x3 filters; LiteRT demands a bias."""
        x, filters = self.image(), self.draw(st.integers(1, 6))
        side = self.draw(st.sampled_from([1, 3]))
        weight = self.weights(filters, side, side, x.shape[3])
        return self.builder.emit("conv_2d", [x, weight, self.weights(filters)], **self.window(x))

    def depthwise(self) -> Value:
        """A 3x3 depthwise convolution."""
        x = self.image()
        operands = [x, self.weights(1, 3, 3, x.shape[3]), self.weights(x.shape[3])]
        return self.builder.emit("depthwise_conv_2d", operands, depth_multiplier=1, **self.window(x))

    def pool(self) -> Value:
        """2x2 max or average pooling; SAME, so that it fits any size."""
        x, opcode = self.image(), self.draw(st.sampled_from(["max_pool_2d", "average_pool_2d"]))
        window: dict[str, Any] = {
            "filter_height": 2,
            "filter_width": 2,
            "stride_h": 2,
            "stride_w": 2,
            "padding": "SAME",
        }
        return self.builder.emit(opcode, [x], **window)

    def activation(self) -> Value:
        """An elementwise op of one operand."""
        opcode = self.draw(st.sampled_from(["relu", "relu6", "logistic", "tanh", "hard_swish", "leaky_relu", "abs"]))
        return self.builder.emit(opcode, [self.image()])

    def scaled(self) -> Value:
        """Addition of or multiplication by a constant per channel, in either operand order."""
        x = self.image()
        operands = [x, self.weights(x.shape[3])]
        if self.draw(st.booleans()):
            operands.reverse()
        return self.builder.emit(self.draw(st.sampled_from(["add", "mul"])), operands)

    def residual(self) -> Value:
        """Addition of two values of one shape (perhaps of a value and itself)."""
        x = self.image()
        other = self.draw(st.sampled_from([v for v in self.images if v.shape == x.shape]))
        return self.builder.emit("add", [x, other], fused_activation_function=self.draw(st.sampled_from(ACTIVATIONS)))

    def concatenation(self) -> Value:
        """Two values of one height and width side by side in channels."""
        x = self.image()
        other = self.draw(st.sampled_from([v for v in self.images if v.shape[:3] == x.shape[:3]]))
        return self.builder.emit("concatenation", [x, other], axis=3)

    def padding(self) -> Value:
        """Zeros around height and width."""
        amounts = [[0, 0], [1, 1], [self.draw(st.integers(0, 1)), 1], [0, 0]]
        return self.builder.emit("pad", [self.image(), self.builder.constant(np.array(amounts, np.int32))])

    def there_and_back(self) -> Value:
        """A transpose to NCHW and one back, as front ends leave them."""
        builder = self.builder
        turned = builder.emit("transpose", [self.image(), builder.ints([0, 3, 1, 2])])
        return builder.emit("transpose", [turned, builder.ints([0, 2, 3, 1])])

    def head(self, x: Value) -> Value:
        """Mean over the picture or a flattening reshape, a fully connected layer, perhaps a softmax."""
        if self.draw(st.booleans()):
            flat = self.builder.emit("mean", [x, self.builder.ints([1, 2])], keep_dims=False)
        else:
            flat = self.builder.emit("reshape", [x, self.builder.ints([1, x.type.elements])])
        units = self.draw(st.integers(1, 5))
        scores = self.builder.emit("fully_connected", [flat, self.weights(units, flat.shape[1]), self.weights(units)])
        return self.builder.emit("softmax", [scores], beta=1.0) if self.draw(st.booleans()) else scores

    def grow(self) -> Graph:
        """The whole graph: a few ops, one or two outputs, now and then a dead end."""
        kinds: list[Callable[[], Value]] = [
            self.conv, self.depthwise, self.pool, self.activation, self.scaled, self.residual, self.concatenation,
            self.padding, self.there_and_back,
        ]  # fmt: skip
        for _ in range(self.draw(st.integers(1, MAX_OPS))):
            self.images.append(self.draw(st.sampled_from(kinds))())
        outputs = [self.images[-1]]
        if self.draw(st.booleans()):
            outputs = [self.head(self.images[-1])]
        inner = [v for v in self.images[1:-1] if v is not outputs[0]]
        second = self.draw(st.booleans())
        if inner and second:
            outputs.append(self.draw(st.sampled_from(inner)))
        self.graph.outputs = outputs
        return self.graph


@st.composite
def float_graphs(draw: st.DrawFn) -> Graph:
    """Valid graphs of one float32 input "image" [1, H, W, C], up to about a dozen ops, one or two outputs."""
    return GraphMaker(draw).grow()


def random_feeds(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal values for every input of a graph, by name."""
    generator = np.random.default_rng(seed)
    return {v.name: generator.standard_normal(v.shape).astype(np.float32) for v in graph.inputs}


# -- modules with odd content, for the text form and the writer --------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(
        ["x", "x", "a/b:0", "é", 'quo"te', "new\nline", "back\\slash", "x#2", "%x", "$x", "none", "", "// x"]
    ),
    st.text(max_size=6),
)
SCALES = st.floats(2**-20, 8, width=32)
NUMBERS = st.floats(width=32).map(lambda v: math.nan if math.isnan(v) else v)  # one NaN: the text form has one


@st.composite
def quant_params(draw: st.DrawFn, shape: tuple[int, ...]) -> QuantParams | None:
    """No quantization, per tensor, or per channel along an axis with at least one channel."""
    kind = draw(st.integers(0, 2))
    axes = [axis for axis, size in enumerate(shape) if size]
    if kind == 0:
        return None
    if kind == 1 or not axes:
        bounds = ((draw(NUMBERS),), (draw(NUMBERS),)) if draw(st.booleans()) else ((), ())
        return QuantParams((draw(SCALES),), (draw(st.integers(-128, 127)),), None, *bounds)
    axis = draw(st.sampled_from(axes))
    scales = tuple(draw(SCALES) for _ in range(shape[axis]))
    same = draw(st.booleans())
    zero_points = (3,) * len(scales) if same else tuple(draw(st.integers(-9, 9)) for _ in scales)
    return QuantParams(scales, zero_points, axis)


@st.composite
def tensor_types(draw: st.DrawFn, dtypes: st.SearchStrategy[DType]) -> TensorType:
    """Types of up to three short dimensions; some dimensions may change at run time."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    moving = [draw(st.booleans()) for _ in shape]
    signature = tuple(-1 if moves else d for moves, d in zip(moving, shape)) if any(moving) else None
    return TensorType(shape, draw(dtypes), draw(quant_params(shape)), signature)


PLAIN_DTYPES = st.sampled_from(
    [
        DType.FLOAT32, DType.FLOAT16, DType.FLOAT64, DType.BFLOAT16, DType.INT2, DType.INT4, DType.UINT4, DType.INT8,
        DType.UINT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT64, DType.BOOL, DType.COMPLEX64,
    ]
)  # fmt: skip
_SUB_BYTE_BOUNDS = {DType.INT2: (-2, 1), DType.INT4: (-8, 7), DType.UINT4: (0, 15), DType.BOOL: (0, 1)}


@st.composite
def constants(draw: st.DrawFn) -> Value:
    """Constants of any dtype, any bits: NaNs and infinities included."""
    type_ = draw(tensor_types(PLAIN_DTYPES))
    if type_.dtype in _SUB_BYTE_BOUNDS:
        low, high = _SUB_BYTE_BOUNDS[type_.dtype]
        flat = [draw(st.integers(low, high)) for _ in range(type_.elements)]
        data = np.array(flat, type_.dtype.numpy)
    else:
        size = type_.elements * type_.dtype.numpy.itemsize
        data = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), type_.dtype.numpy)
    return Value(draw(NAMES), type_, data.reshape(type_.shape))


@st.composite
def odd_graphs(draw: st.DrawFn, name: str = "main") -> Graph:
    """Graphs of custom and opaque ops, strided slices of the known vocabulary left out: any types go together."""
    graph = Graph(name)
    graph.inputs = [Value(draw(NAMES), draw(tensor_types(PLAIN_DTYPES))) for _ in range(draw(st.integers(0, 2)))]
    known = list(graph.inputs)
    for _ in range(draw(st.integers(0, 4))):
        op = draw(odd_ops(known))
        graph.append(op)
        known += op.results
    graph.outputs = draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
    return graph


@st.composite
def odd_ops(draw: st.DrawFn, known: list[Value]) -> Op:
    """A custom op, an opaque builtin, or a leaky_relu whose slope may be any float."""
    kind = draw(st.sampled_from(["custom", "opaque", "leaky_relu"]))
    results = [Value(draw(NAMES), draw(tensor_types(PLAIN_DTYPES))) for _ in range(draw(st.integers(0, 2)))]
    common: Mapping[str, Any] = {
        "name": results[0].name if results else draw(NAMES),
        "source": draw(NAMES),
        "version": draw(st.one_of(st.none(), st.integers(1, 9))),
    }
    if kind == "leaky_relu":
        x = Value("leaf", draw(tensor_types(st.just(DType.FLOAT32))), is_variable=True)
        result = Value(draw(NAMES), TensorType(x.shape, x.dtype, None, x.type.signature))
        return Op("leaky_relu", [x], [result], {"alpha": draw(NUMBERS)}, **{**common, "name": result.name})
    operands = draw(
        st.lists(st.one_of(st.none(), constants(), *([st.sampled_from(known)] if known else [])), max_size=3)
    )
    if kind == "custom":
        attributes: dict[str, Any] = {
            "custom_code": draw(NAMES), "custom_options": draw(st.binary(max_size=9)),
            "custom_options_format": "FLEXBUFFERS",
        }  # fmt: skip
        return Op("custom", operands, results, attributes, **common)
    options_2 = (
        "StablehloConvolutionOptions",
        {"window_strides": np.array([1, 2**40]), "window_reversal": np.array([True, False])},
    )
    attributes = {
        "builtin": "STABLEHLO_CONVOLUTION",
        "options": None,
        "options_2": draw(st.sampled_from([None, options_2])),
    }
    return Op("opaque", operands, results, attributes, **common)


@st.composite
def odd_modules(draw: st.DrawFn) -> Module:
    """Modules with odd names, several graphs, signatures and metadata."""
    graphs = [draw(odd_graphs("main" if i == 0 else draw(NAMES))) for i in range(draw(st.integers(1, 3)))]
    module = Module(graphs, name=draw(NAMES), description=draw(NAMES))
    module.metadata = draw(st.dictionaries(NAMES, st.binary(max_size=9), max_size=2))
    for key in draw(st.lists(NAMES, max_size=2, unique=True)):
        index = draw(st.integers(0, len(graphs) - 1))
        sides = [
            tuple((draw(NAMES), draw(st.integers(0, len(values) - 1))) for _ in values)
            for values in (graphs[index].inputs, graphs[index].outputs)
        ]
        module.signatures.append(Signature(key, index, sides[0], sides[1]))
    return module
