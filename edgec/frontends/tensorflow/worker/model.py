"""A function of tensors as it is traced, converted and run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .composition import composed_after
from .input_shapes import Shapes, fixed, given_batch
from .reduced_precision import in_float32, works_in_other_floats
from .refusal import tensorflow


class Model:
    """A function of tensors with names and fixed shapes: what is converted and what is run."""

    def __init__(self, function: Callable[..., Any], keep: Any, inputs: list[tuple[str, Any, Any]]) -> None:
        """`function` takes the inputs in order; `inputs` are (name, shape with None for unknown, dtype)."""
        self.function = function
        self.keep = keep
        self.inputs = inputs
        self.input_names = [name for name, _, _ in inputs]
        self.output_names: list[str] = []
        self.concrete: Any = None
        self.other_floats: list[str] = []  # the types, apart from float32, that it computes in

    def trace(self, shapes: Shapes, output_names: Sequence[str]) -> None:
        """Fix all shapes and trace; raises Refusal where a dimension is not known."""
        tf = tensorflow()
        batch = given_batch(self.inputs, shapes)
        specs = [  # the reader of the `.tflite` puts them in order by these numbers
            tf.TensorSpec(fixed(name, shape, shapes, batch), dtype, f"input_{i:04}")
            for i, (name, shape, dtype) in enumerate(self.inputs)
        ]

        def numbered(*tensors: Any) -> Any:
            return {f"output_{i:04}": tensor for i, tensor in enumerate(tf.nest.flatten(self.function(*tensors)))}

        self.concrete = tf.function(numbered, autograph=False).get_concrete_function(*specs)
        outputs = self.concrete.outputs
        self.output_names = list(output_names)
        if len(self.output_names) != len(outputs):
            self.output_names = [f"output_{i}" for i in range(len(outputs))]

    def convert(self, folder: Path) -> bytes:
        """The float `.tflite`; a model with state goes through a SavedModel in `folder`, which sets its first state."""
        tf = tensorflow()
        if not writes_state(self.concrete):
            return self._converted_or_composed()
        module = tf.Module()
        module.model, module.variables_used = self.keep, list(self.concrete.variables)
        tf.saved_model.save(module, str(folder / "stateful"), signatures=self.concrete)
        return converted(tf.lite.TFLiteConverter.from_saved_model(str(folder / "stateful")))

    def _converted_or_composed(self) -> bytes:
        """The float `.tflite` of the frozen function, whose ops are composed where TFLite lacks them.

        Nothing else of the model is handed over: the converter would save its variables and fill its tables.
        """
        tf = tensorflow()
        whole, nothing = frozen(self.concrete), tf.Module()

        def convert(function: Any) -> bytes:
            return converted(tf.lite.TFLiteConverter.from_concrete_functions([function], nothing))

        self.other_floats = works_in_other_floats(whole.graph)
        if self.other_floats:
            whole = _with_graph(whole, in_float32(whole.graph.as_graph_def()))
        try:
            return convert(whole)
        except Exception as error:  # the converter's errors have no common base
            changed = composed_after(error, whole.graph)
            if changed is None:
                raise
            return convert(_with_graph(whole, changed))

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Outputs in order for arrays by input name; other shapes than those traced are traced anew."""
        tf = tensorflow()
        shapes = {name: list(feeds[name].shape) for name in self.input_names}
        if any(shapes[name] != list(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)):
            self.trace(shapes, self.output_names)
        arguments = [
            tf.constant(feeds[name], dtype, tensor.shape)
            for (name, _, dtype), tensor in zip(self.inputs, self.concrete.inputs)
        ]
        return self._by_xla_where_refused(
            arguments, lambda: [tensor.numpy() for tensor in tf.nest.flatten(self.concrete(*arguments))]
        )

    def _by_xla_where_refused(self, arguments: list[Any], computed: Callable[[], list[Any]]) -> list[Any]:
        """What `computed` gives; where a kernel refuses, as most of the CPU's do channels first, XLA computes it.

        A model with state is not run twice. Raises the kernel's error where XLA cannot do it either.
        """
        tf = tensorflow()
        try:
            return computed()
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as refused:
            if writes_state(self.concrete):
                raise
            compiled = tf.function(lambda *tensors: self.concrete(*tensors), jit_compile=True, autograph=False)
            try:
                return [tensor.numpy() for tensor in tf.nest.flatten(compiled(*arguments))]
            except (tf.errors.OpError, TypeError, ValueError):
                raise refused from None


def converted(converter: Any) -> bytes:
    """What the converter writes, a list's entry that a loop sets as DYNAMIC_UPDATE_SLICE: by default it is a
    concatenation of two slices whose sizes are open. Versions without that switch ignore it."""
    converter._experimental_enable_dynamic_update_slice = True
    return bytes(converter.convert())


def writes_state(concrete: Any) -> bool:
    """Whether the function sets variables."""
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(node.op.startswith("Assign") for node in nodes)


def _with_graph(concrete: Any, graph_def: Any) -> Any:
    """A frozen function of another graph with the same ends."""
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    return constants._construct_concrete_function(concrete, graph_def, set())


def frozen(concrete: Any) -> Any:
    """The function with its variables as constants: Keras 3's are left as variables otherwise."""
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    return constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)
