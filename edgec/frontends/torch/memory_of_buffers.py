"""Which ops of an exported network write into the memory of its buffers, followed through views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Composed of other ops, so that torch states no aliasing of them; all of them compute something new.
_COMPUTE = frozenset(
    f"aten::{name}"
    for name in (
        "batch_norm", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
        "group_norm", "instance_norm", "layer_norm", "linear", "matmul",
    )
)  # fmt: skip
_UNSTATED = frozenset({"aten::_unsafe_view", "aten::lift"})  # views that do not say so


def writes_to_buffers(program: Any) -> bool:
    """Whether an op of the program may write to a buffer or to a constant tensor, directly or through a view.

    True may be wrong, False is not: what may share memory counts as sharing it.
    """
    signature = program.graph_signature
    held = {*signature.inputs_to_buffers, *signature.inputs_to_lifted_tensor_constants}
    shared: set[Any] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in held:
                shared.add(node)
        elif not shared.isdisjoint(_arguments(node, written=True)):
            return True
        elif not shared.isdisjoint(_that_a_result_may_share(node)):
            shared.add(node)
    return False


def _that_a_result_may_share(node: Any) -> Iterator[Any]:
    """The operands whose memory a result may be a view of."""
    import torch

    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return iter(node.all_input_nodes)
    if any(result.alias_info is not None for result in schema.returns):
        return _arguments(node, written=False)
    composed = torch._C._dispatch_has_kernel_for_dispatch_key(node.target.name(), "CompositeImplicitAutograd")
    if schema.name in _UNSTATED or (composed and schema.name not in _COMPUTE):
        return iter(node.all_input_nodes)
    return iter(())


def _arguments(node: Any, *, written: bool) -> Iterator[Any]:
    """The operands whose memory the schema says is shared with a result, or is `written`."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return
    for index, argument in enumerate(schema.arguments):
        shared = argument.alias_info
        if shared is not None and (shared.is_write or not written):
            given = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name)
            yield from (one for one in (given if isinstance(given, (list, tuple)) else [given]) if hasattr(one, "op"))
