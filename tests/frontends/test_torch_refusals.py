"""What the PyTorch front end refuses, none of which needs PyTorch: files that run code, archives that would."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.driver.source import load_source
from edgec.errors import ImportFailure, MissingExtra
from edgec.frontends.torch.archive import check_archive
from edgec.frontends.torch.factory import is_factory

TUPLE = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": []}])
SYMBOL = "Symbol('s77', positive=True, integer=True)"


def program() -> dict[str, Any]:
    """The parts of a torch program that its reader would act on, harmless."""
    return {
        "graph_module": {
            "graph": {
                "nodes": [{
                    "target": "torch.ops.aten.relu.default", "name": "relu",
                    "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}}],
                    "metadata": {"stack_trace": 'File "net.py", line 1; __import__("os")'},
                }],
                "tensor_values": {"x": {"sizes": [{"as_expr": {"expr_str": f"Add(Integer(2), {SYMBOL})"}}]}},
            },
            "module_call_graph": [{"fqn": "", "signature": {"in_spec": TUPLE, "forward_arg_names": ["x"]}}],
        },
        "guards_code": ["(8*L['y'].size()[0] + 8*L['x'].size()[0]) == (16*L['x'].size()[0])"],
        "torch_version": "2.13.0+cpu",
    }  # fmt: skip


def packed(tree: Any, extra: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("net/models/model.json", tree if isinstance(tree, (str, bytes)) else json.dumps(tree))
        for name, data in (extra or {}).items():
            archive.writestr(f"net/{name}", data)
    file.seek(0)
    return file


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(program())
    inner: Any = tree
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return tree


def refusal(file: io.BytesIO) -> str:
    with pytest.raises(ImportFailure) as caught:
        check_archive(file, "net.pt2")
    return str(caught.value)


def test_a_plain_program_passes() -> None:
    weights = {
        "config": {"w": {"use_pickle": False, "path_name": "weight_0", "tensor_meta": {"sizes": [{"as_int": 2}]}}}
    }
    config = json.dumps(weights).encode()
    members = {"data/weights/weight_0": b"12345678", "data/weights/model_weights_config.json": config}
    check_archive(packed(program(), members), "x")


NODE = ("graph_module", "graph", "nodes", 0)
SIZE = ("graph_module", "graph", "tensor_values", "x", "sizes", 0, "as_expr", "expr_str")
CALL = ("graph_module", "module_call_graph", 0, "signature")
HOSTILE = {
    "another function": ((*NODE, "target"), "torch.os.system", "it calls 'torch.os.system'"),
    "a loader": ((*NODE, "target"), "torch.ops.load_library", "it calls 'torch.ops.load_library'"),
    "a class": ((*NODE, "target"), "torch.ops.aten.__class__", "it calls 'torch.ops.aten.__class__'"),
    "a method": ((*NODE, "target"), "_operator.methodcaller", "it calls '_operator.methodcaller'"),
    "code in a name": ((*NODE, "name"), "x): import os #", "it uses the name 'x): import os #'"),
    "code in an argument": ((*CALL, "forward_arg_names"), ["x=exit()"], "it uses the name 'x=exit()'"),
    "a call in a size": (SIZE, "__import__('os').getcwd()", "it evaluates '__import__('os').getcwd()'"),
    "an allowed call of a hidden one": (SIZE, "Integer(exec(chr(49)))", "it evaluates 'Integer(exec(chr(49)))'"),
    "an unbounded power": (SIZE, "Pow(Integer(9), Integer(99999999))", "it evaluates 'Pow(Integer(9), "),
    "a chained power": (SIZE, "9**9**9", "it evaluates '9**9**9'"),
    "a name for a symbol": (SIZE, "Symbol('a b')", "it evaluates 'Symbol('a b')'"),
    "no expression": (SIZE, "Add(", "its symbolic size 'Add(' is no expression"),
    "a long expression": (SIZE, "1+" * 5000 + "1", "one of its symbolic sizes is too long"),
    "a call in a guard": (("guards_code",), ["exit(1)"], "it evaluates 'exit(1)'"),
    "an attribute in a guard": (("guards_code",), ["L['x'].__class__ == 1"], "it evaluates 'L['x'].__class__ == 1'"),
    "text in a guard": (("guards_code",), ["L['x\") or exit(\"'].size()[0] == 1"], "it evaluates "),
    "an enum in a container": (
        (*CALL, "in_spec"),
        json.dumps(
            [1, {"type": "builtins.dict", "context": '[{"__enum__": true, "fqn": "os:x"}]', "children_spec": []}]
        ),
        "the keys of its inputs or outputs are no names",
    ),
    "another container": (
        (*CALL, "in_spec"),
        json.dumps([1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]),
        "its inputs or outputs are of type 'collections.defaultdict'",
    ),
}


@pytest.mark.parametrize(("path", "value", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_program_that_would_run_code_is_refused(path: tuple[Any, ...], value: Any, reason: str) -> None:
    text = refusal(packed(changed(path, value)))
    assert text.startswith(f"Reading 'net.pt2': {reason}")
    assert "which can run code while it is read, so edgec does not load it" in text


def pickled() -> bytes:
    return json.dumps({"config": {"w": {"use_pickle": True, "path_name": "weight_0"}}}).encode()


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"data/weights/model_weights_config.json": pickled()}, "it stores 'w' as a pickle"),
        ({"data/weights/model.pt": b""}, "it holds 'net/data/weights/model.pt'"),
        ({"data/constants/custom_obj_0": b""}, "it holds 'net/data/constants/custom_obj_0'"),
        ({"data/aotinductor/model/lib.so": b""}, "it holds 'net/data/aotinductor/model/lib.so'"),
        ({"models/Model.json": b"{}"}, "it holds 'models/Model.json' twice"),
    ],
)
def test_a_member_that_would_run_code_is_refused(extra: dict[str, bytes], reason: str) -> None:
    assert refusal(packed(program(), extra)).startswith(f"Reading 'net.pt2': {reason}")


def test_compressed_members_are_refused() -> None:
    assert "is compressed" in refusal(packed(program(), compression=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x05\x06", packed("[" * 100_000).getvalue(), packed(b"\xff\xfe").getvalue(), packed("7 7").getvalue()],
)
def test_damage_is_one_sentence(data: bytes) -> None:
    text = refusal(io.BytesIO(data))
    assert text.startswith("Reading 'net.pt2': it is no archive of torch.export, or a damaged one (")
    assert "\n" not in text


@settings(max_examples=200)
@given(st.data())
def test_no_change_of_bytes_gives_anything_but_a_sentence(data: st.DataObject) -> None:
    damaged = bytearray(json.dumps(program()).encode() if data.draw(st.booleans()) else packed(program()).getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file = io.BytesIO(bytes(damaged)) if damaged[:2] == b"PK" else packed(bytes(damaged))
    said = ""
    try:
        check_archive(file, "net.pt2")
    except ImportFailure as error:
        said = str(error)
    assert "\n" not in said


def test_the_older_format_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    assert "save the network again with torch.export.save of PyTorch 2.8 or newer" in refusal(file)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ptl", ".pkl", ".PT"])
def test_files_that_run_code_are_not_loaded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"PK")
    with pytest.raises(ImportFailure) as caught:
        load_source(path)
    assert str(caught.value) == (
        f"Reading '{path}': TorchScript files and pickles can run code while they are read, so edgec does not load "
        "them; save the network with torch.export as a .pt2, or name a function of yours, package.module:function, "
        "that builds it and reads its weights by torch.load(..., weights_only=True)."
    )


@pytest.mark.parametrize("model", ["net.pt2", "package.module:function"])
def test_without_torch_the_extra_is_named(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt2").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        load_source(model)
    assert str(caught.value) == (
        f"Reading '{model}': torch and onnxscript cannot be imported; install PyTorch with pip install 'edgec[torch]'."
    )


def test_example_inputs_do_not_go_with_a_file() -> None:
    with pytest.raises(ImportFailure, match=r"example inputs go with a torch\.nn\.Module"):
        load_source("net.onnx", None, (1,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("package.module:function", True),
        ("nets:Held.net", True),
        ("C:\\nets\\net.onnx", False),
        ("nets.py:net()", False),
        ("net.onnx", False),
    ],
)
def test_what_counts_as_a_factory(text: str, expected: bool) -> None:
    assert is_factory(text) is expected
