"""Small `.tflite` models made with the schema's object API, so that these tests need no files from elsewhere."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class TinyModel:
    """Collects tensors and ops of one subgraph and packs them into `.tflite` bytes."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]  # buffer 0 is the empty one
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "INT8",
        *,
        scale: tuple[float, ...] = (),
        zero_point: tuple[int, ...] = (),
        axis: int = 0,
        signature: tuple[int, ...] | None = None,
        data: Array | None = None,
        variable: bool = False,
    ) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), getattr(self.schema.TensorType, dtype)
        tensor.shapeSignature = list(signature) if signature else None
        tensor.isVariable = variable
        if scale:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = list(scale), list(zero_point)
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def op(self, name: str, inputs: list[int], outputs: list[int], options: str = "", **values: Any) -> None:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        op = self.schema.OperatorT()
        op.opcodeIndex = len(self.model.operatorCodes) - 1
        op.inputs, op.outputs = inputs, outputs
        if options:
            op.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            op.builtinOptions = getattr(self.schema, f"{options}T")()
            for key, value in values.items():
                setattr(op.builtinOptions, key, value)
        self.graph.operators.append(op)

    def bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def add_int8() -> bytes:
    """sum = x + y on int8 [1, 4], all with scale 0.5: x and y zero point 0, sum zero point 1."""
    model = TinyModel()
    x = model.tensor("x", (1, 4), scale=(0.5,), zero_point=(0,))
    y = model.tensor("y", (1, 4), scale=(0.5,), zero_point=(0,))
    total = model.tensor("sum", (1, 4), scale=(0.5,), zero_point=(1,))
    model.op("ADD", [x, y], [total], "AddOptions")
    return model.bytes([x, y], [total])


def add_float(signature: tuple[int, ...] | None = None) -> bytes:
    """sum = x + x on float32 [1, 3]; the outputs are sum, the input x itself, and sum again."""
    model = TinyModel()
    x = model.tensor("x", (1, 3), "FLOAT32", signature=signature)
    total = model.tensor("sum", (1, 3), "FLOAT32", signature=signature)
    model.op("ADD", [x, x], [total], "AddOptions")
    return model.bytes([x], [total, x, total])


def two_convs_int8() -> bytes:
    """Two 3x3 convolutions, int8 [1, 8, 8, 4] -> [1, 8, 8, 8] -> [1, 8, 8, 4], per-channel weights."""
    generator = np.random.default_rng(3)
    model = TinyModel()
    first = model.tensor("image", (1, 8, 8, 4), scale=(0.05,), zero_point=(-3,))
    value, channels, value_scale = first, 4, 0.05
    for name, width, result_scale in (("middle", 8, 0.5), ("features", 4, 4.0)):
        scales = tuple(0.01 + 0.001 * channel for channel in range(width))
        weights = generator.integers(-127, 128, (width, 3, 3, channels)).astype(np.int8)
        bias = generator.integers(-500, 500, width).astype(np.int32)
        zeros = (0,) * width
        w = model.tensor(f"{name}/weights", weights.shape, scale=scales, zero_point=zeros, data=weights)
        bias_scales = tuple(value_scale * scale for scale in scales)
        b = model.tensor(f"{name}/bias", (width,), "INT32", scale=bias_scales, zero_point=zeros, data=bias)
        result = model.tensor(name, (1, 8, 8, width), scale=(result_scale,), zero_point=(-3,))
        model.op("CONV_2D", [value, w, b], [result], "Conv2DOptions", strideH=1, strideW=1)
        value, channels, value_scale = result, width, result_scale
    return model.bytes([first], [value])


def accumulating_svdf_float() -> bytes:
    """SVDF of one unit, rank 1, memory 2: y(t) = x(t) + x(t - 1); the state is a variable tensor."""
    model = TinyModel()
    x = model.tensor("x", (1, 1), "FLOAT32")
    feature = model.tensor("feature", (1, 1), "FLOAT32", data=np.ones((1, 1), np.float32))
    time = model.tensor("time", (1, 2), "FLOAT32", data=np.ones((1, 2), np.float32))
    state = model.tensor("state", (1, 2), "FLOAT32", variable=True)
    y = model.tensor("y", (1, 1), "FLOAT32")
    model.op("SVDF", [x, feature, time, -1, state], [y], "SVDFOptions", rank=1)
    return model.bytes([x], [y])


def unknown_tensor_int8() -> bytes:
    """`add_int8` with an operand index far beyond the tensors: a file that only a hostile writer makes."""
    model = TinyModel()
    x = model.tensor("x", (1, 4), scale=(0.5,), zero_point=(0,))
    total = model.tensor("sum", (1, 4), scale=(0.5,), zero_point=(0,))
    model.op("ADD", [x, 50_000_000], [total], "AddOptions")
    return model.bytes([x], [total])
