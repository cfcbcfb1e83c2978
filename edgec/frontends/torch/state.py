"""Which buffers of an exported network carry something from one run to the next."""

from __future__ import annotations

from typing import Any

from edgec.frontends.torch.memory_of_buffers import writes_to_buffers


def remembered_buffers(program: Any) -> list[str]:
    """The buffers that a run changes and that a later run's outputs depend on, by name.

    A buffer that is overwritten before it is read, or a counter that nothing reads, remembers nothing.
    """
    if not program.graph_signature.buffers_to_mutate:
        if not writes_to_buffers(program):
            return []
        program = program.run_decompositions({})
    signature = program.graph_signature
    changed, wanted = set(signature.buffers_to_mutate.values()), set(signature.user_outputs)
    if not changed:
        return []
    names = {spec.arg.name: spec.target for spec in signature.input_specs if spec.target in changed}
    waiting = [node for node in program.graph.output_node().all_input_nodes if node.name in wanted]
    seen = set(waiting)
    while waiting:
        before = set(waiting.pop().all_input_nodes) - seen
        seen |= before
        waiting += before
    return sorted(names[node.name] for node in seen if node.name in names)
