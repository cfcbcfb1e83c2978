"""A list's entry that is set as TensorFlow's converter writes it becomes one op, at every place of the list."""

import numpy as np
import pytest
from passes.check_pass import check_pass

from edgec.ir.dtype import DType
from edgec.ir.graph import Module
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.set_list_entry import SetListEntry

LIST, ENTRY = (5, 2, 3), (1, 2, 3)


def set_entry(step: int = 1, rest: int = -1, entry: tuple[int, ...] = ENTRY) -> Module:
    """concat(list[:i], x, list[i + step:])."""
    module = Module()
    b, graph = build(module.main), module.main
    entries = graph.add_input("entries", TensorType(LIST, DType.FLOAT32))
    x = graph.add_input("x", TensorType(entry, DType.FLOAT32))
    i = graph.add_input("i", TensorType((), DType.INT32))

    def vector(first: object, rest: int) -> object:
        scalar = b.emit("reshape", [first, b.ints([1])], new_shape=(1,))  # type: ignore[list-item]
        return b.emit("concatenation", [scalar, b.ints([rest, rest])], axis=0)

    def part(begin: object, size: object, signature: tuple[int, ...]) -> object:
        type_ = TensorType((1, *LIST[1:]), DType.FLOAT32, None, signature)
        return b.emit("slice", [entries, begin, size], result_types=[type_])  # type: ignore[list-item]

    following = b.emit("add", [i, b.constant(np.array(step, np.int32))])
    head = part(b.ints([0, 0, 0]), vector(i, rest), (-1, -1, -1))
    tail = part(vector(following, 0), b.ints([-1, -1, -1]), (-1, *LIST[1:]))
    parts = [head, x, tail]
    graph.outputs = [b.emit("concatenation", parts, axis=0, result_types=[entries.type])]  # type: ignore[arg-type]
    return module


@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_entry_is_written_in_its_place(place: int) -> None:
    random = np.random.default_rng(0)
    feeds = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in (("entries", LIST), ("x", ENTRY))
    }
    checked = check_pass(set_entry(), SetListEntry(), feeds={**feeds, "i": np.array(place, np.int32)})
    assert checked.changed
    assert "dynamic_update_slice" in checked.opcodes


@pytest.mark.parametrize("module", [set_entry(step=2), set_entry(rest=2), set_entry(entry=(2, 2, 3))])
def test_other_parts_of_a_list_stay(module: Module) -> None:
    assert not SetListEntry().run(module, PassContext(None)).changed
