"""Input shapes of ONNX models: defaults, `--shape` in either layout, shared symbols, and what the messages name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgec.errors import ImportFailure
from edgec.frontends.onnx import read_onnx
from edgec.ir.graph import Module

Dims = Sequence[int | str | None] | None


def read(shapes: Mapping[str, Sequence[int]] | None = None, /, **inputs: Dims) -> Module:
    """A model whose inputs are all negated."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()]
    nodes = [helper.make_node("Neg", [name], [f"{name}_out"]) for name in inputs]
    outputs = [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None) for name in inputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return read_onnx(model.SerializeToString(), "net.onnx", shapes)


def shapes_of(module: Module) -> list[tuple[int, ...]]:
    return [value.shape for value in module.main.inputs]


@pytest.mark.parametrize("batch", ["N", None, 0])
def test_an_open_batch_becomes_one(batch: str | int | None) -> None:
    module = read(x=[batch, 3, 8, 8])
    assert shapes_of(module) == [(1, 3, 8, 8)]
    named = "batch ('N')" if batch == "N" else "batch"
    assert [(note.where, note.message) for note in module.notes] == [
        ("input 'x'", f"its open {named} was fixed at 1; --shape x=N,3,8,8 gives it another size")
    ]


def test_inputs_that_share_a_symbol_share_its_size() -> None:
    module = read({"ids": (4, 16)}, ids=["B", "S"], mask=["B", "S"], wide=["B", 1, "S", "S"])
    assert shapes_of(module) == [(4, 16), (4, 16), (4, 1, 16, 16)]


def test_a_batch_of_one_is_shared_as_well() -> None:
    assert shapes_of(read(x=["B", 4], states=[2, "B", 8])) == [(1, 4), (2, 1, 8)]


def test_sizes_of_one_symbol_must_agree() -> None:
    with pytest.raises(
        ImportFailure,
        match=r"input 'mask': dimension 1 \('S'\) is 12 by --shape, but 16 in the shape of input 'ids'; dimensions of "
        r"one name have one size\.$",
    ):
        read({"ids": (1, 16), "mask": (1, 12)}, ids=["B", "S"], mask=["B", "S"])


def test_a_shape_is_taken_in_the_files_layout() -> None:
    module = read({"x": (1, 3, 32, 48)}, x=["N", 3, "H", "W"])
    assert shapes_of(module) == [(1, 3, 32, 48)]
    assert not module.notes


def test_a_shape_that_only_fits_with_channels_last_is_turned_and_noted() -> None:
    module = read({"x": (1, 32, 48, 3)}, x=["N", 3, "H", "W"])
    assert shapes_of(module) == [(1, 3, 32, 48)]
    assert [note.message for note in module.notes] == [
        "--shape x=1,32,48,3 was read with the channels last; in the file it is 1,3,32,48"
    ]


def test_a_shape_that_fits_both_ways_is_in_the_files_layout() -> None:
    assert shapes_of(read({"x": (1, 3, 8, 3)}, x=["N", 3, "H", "W"])) == [(1, 3, 8, 3)]
    assert shapes_of(read({"x": (1, 8, 8, 3)}, x=["N", "C", "H", "W"])) == [(1, 8, 8, 3)]


def test_a_sequence_is_never_turned() -> None:
    with pytest.raises(ImportFailure, match=r"input 'x': dimension 2 is 768, --shape gives 128\.$"):
        read({"x": (1, 768, 128)}, x=["N", "S", 768])


@pytest.mark.parametrize(
    ("dims", "shapes", "reason"),
    [
        (["N", 3, "height", None], {}, "input 'x': dimension 2 is 'height', dimension 3 is unknown; fix it with "
         "--shape x=1,3,224,224 (sizes of your own)."),
        (["N", "S"], {}, "input 'x': dimension 1 is 'S'; fix it with --shape x=1,128 (sizes of your own)."),
        (["N"], {}, "input 'x': dimension 0 is 'N'; fix it with --shape x=128 (sizes of your own)."),
        (None, {}, "input 'x' has no shape; give it with --shape x=1,224,224,3."),
        (["N", 3, 8, 8], {"y": (1, 3, 8, 8)}, "there is no input 'y' (--shape); the inputs are 'x'."),
        (["N", 3, 8, 8], {"x": (1, 3, 8)}, "input 'x' has 4 dimensions, --shape gives 3."),
        (["N", 3, 8, 8], {"x": (1, 3, 8, 9)}, "input 'x': dimension 3 is 8, --shape gives 9."),
        ([2, 3, 8, 8], {"x": (1, 3, 8, 8)}, "input 'x': dimension 0 is 2, --shape gives 1."),
    ],
)  # fmt: skip
def test_the_message_names_dimension_and_flag(dims: Dims, shapes: dict[str, Sequence[int]], reason: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        read(shapes, x=dims)
    assert str(caught.value) == f"Reading 'net.onnx': {reason}"


def test_a_model_without_shape_takes_the_given_one() -> None:
    assert shapes_of(read({"x": (2, 5)}, x=None)) == [(2, 5)]


def test_more_than_the_memory_allows_is_refused() -> None:
    with pytest.raises(ImportFailure, match=r"has shape \[1, 40000, 40000\], which takes more than 2 GiB\.$"):
        read({"x": (1, 40000, 40000)}, x=["N", "H", "W"])
    assert np.prod((1, 40000, 40000)) < 2**31
