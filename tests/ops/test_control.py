"""Types and refusals of control flow and resources."""

from collections.abc import Callable

import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Refusal = Callable[..., str]
HANDLE = TensorType((), DType.RESOURCE)
CONDITION = TensorType((1,), DType.BOOL)


def test_loop_results_are_the_loop_variables(make: Make) -> None:
    op = make("while", (2, 3), TensorType((), DType.INT32), cond_subgraph_index=1, body_subgraph_index=2)
    assert [r.type for r in op.results] == [TensorType((2, 3), DType.FLOAT32), TensorType((), DType.INT32)]


def test_a_loop_that_changes_types_is_refused(make: Make) -> None:
    op = make("while", (2, 3), results=[TensorType((2, 3), DType.INT32)])
    with pytest.raises(ValueError, match="goes in as float32, out as int32"):
        OP_DEFS["while"].infer(op)
    op = make("while", (2, 3), results=[])
    assert len(OP_DEFS["while"].infer(op)) == 1


def test_branches_have_the_results_they_were_given(make: Make, refusal: Refusal) -> None:
    wanted = TensorType((4,), DType.FLOAT32)
    assert OP_DEFS["if"].infer(make("if", CONDITION, (2, 3), results=[wanted])) == [wanted]
    assert refusal("if", (1,), (2, 3)) == "the condition must be one bool, found float32[1]"


def test_variables(make: Make, refusal: Refusal) -> None:
    assert make("var_handle", shared_name="x").result.type == HANDLE
    value = TensorType((2, 3), DType.INT8)
    assert OP_DEFS["read_variable"].infer(make("read_variable", HANDLE, results=[value])) == [value]
    assert make("assign_variable", HANDLE, value).results == ()
    assert refusal("assign_variable", (2, 3), (2, 3)).endswith("must be a resource, found float32")


def test_tables(make: Make) -> None:
    keys = TensorType((4,), DType.INT64)
    assert make("hashtable_find", HANDLE, keys, (1,)).result.type == TensorType((4,), DType.FLOAT32)
    assert make("hashtable_size", HANDLE).result.type == TensorType((1,), DType.INT64)


def test_what_changes_state_is_kept_alive() -> None:
    kept = {name for name, definition in OP_DEFS.items() if definition.has_side_effects}
    assert kept == {
        "while", "if", "call", "call_once", "assign_variable", "hashtable_import", "random_uniform",
        "random_standard_normal", "multinomial",
    }  # fmt: skip
