"""Reads a `.pt2`, the archive of torch.export, once it is sure that reading it runs none of the file's code.

`torch.export.load` unpickles without restriction where the archive asks for it, evaluates symbolic sizes as Python, and
looks operators up by any name. So the archive is read here first, by Python's zipfile and json alone: what torch
writes for a plain network passes, everything else is refused.
"""

from __future__ import annotations

import ast
import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any

from edgec.errors import ImportFailure
from edgec.frontends.torch.network import Shapes, TorchImport, import_torch, quiet, translate_program
from edgec.frontends.torch.tracing import reason_of

SAVE_AGAIN = "save the network again with torch.export.save of PyTorch 2.8 or newer"
KNOWN_MEMBERS = re.compile(
    r"models/\w+\.json|data/(weights/weight_\d+|constants/tensor_\d+|(weights|constants)/\w+_config\.json|"
    r"sample_inputs/\w+\.pt)|extra/.*|archive_(format|version)|version|byteorder|\.data/\w+|\.format_version|"
    r"\.storage_alignment"
)
PLAIN_NAME = re.compile(r"[\w.\-]*")
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|quantized_decomposed|torchvision)\.(?!__class|__init|__dict|__getattr|__sub|"
    r"__mod)\w+(\.(?!__)\w+)?|torch\.sym_\w+|math\.(ceil|floor|sqrt|trunc)|"
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|pow|not_)"
)
SYMBOL = re.compile(r"[a-z]{1,8}\d{1,9}")
SYMPY_FUNCTIONS = {
    "Symbol", "Integer", "Add", "Mul", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing",
    "Max", "Min", "Pow", "PowByNatural", "IntTrueDiv", "FloorToInt", "CeilToInt", "TruncToInt", "ToFloat", "Where",
    "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan", "And", "Or", "Not",
}  # fmt: skip
CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
FREE_TEXT = {"metadata", "as_string", "as_strings", "torch_version"}  # torch keeps these as text
LONGEST_EXPRESSION = 4096  # characters
LARGEST_POWER = 4
LONGEST_QUOTE = 80  # characters
_DAMAGE = (
    zipfile.BadZipFile, KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError, EOFError, OSError,
    NotImplementedError, OverflowError, MemoryError, RuntimeError, struct.error,
)  # fmt: skip


class _Unsafe(Exception):
    """What an archive holds that its reading might run."""


def load_pt2(path: Path, shapes: Shapes | None = None, *, unroll: bool = False) -> TorchImport:
    """Read a `.pt2` and translate its program; `shapes` fixes dynamic dimensions by input name.

    Raises:
        ImportFailure: the file is damaged, of an older format, or holds what might run code while it is read.
        MissingExtra: torch or onnxscript is not installed.
    """
    import_torch(f"Reading '{path}'")
    import torch

    try:
        with path.open("rb") as file, quiet():
            check_archive(file, str(path))
            file.seek(0)
            program = torch.export.load(file)
            network = program.module()
    except ImportFailure:
        raise
    except OSError as error:
        raise ImportFailure(f"Reading '{path}': {error.strerror or error}.") from error
    except Exception as error:  # damage shows itself as errors of any kind
        raise ImportFailure(f"Reading '{path}': torch.export.load failed: {reason_of(error)}; {SAVE_AGAIN}.") from error
    return translate_program(program, network, path.stem, shapes, unroll=unroll)


def check_archive(file: IO[bytes], name: str) -> None:
    """Look through an archive without torch's reader.

    Raises:
        ImportFailure: it is no archive of torch.export, or holds what torch might run while it reads it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive)
            for member, info in members.items():
                if member.endswith("_config.json"):
                    _check_payloads(_parsed(archive, info), member, members)
                elif member.startswith("models/"):
                    _check_program(_parsed(archive, info))
                elif member.startswith("data/sample_inputs/"):
                    _check_samples(archive.read(info))
    except _Unsafe as error:
        raise ImportFailure(
            f"Reading '{name}': {error}, which can run code while it is read, so edgec does not load it; {SAVE_AGAIN}, "
            "or name a function, package.module:function, that builds the network."
        ) from error
    except _DAMAGE as error:
        raise ImportFailure(
            f"Reading '{name}': it is no archive of torch.export, or a damaged one ({type(error).__name__}); "
            f"{SAVE_AGAIN}."
        ) from error


def _short(text: object) -> str:
    """A text of the file's, for a message: on one line, and not all of it."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:LONGEST_QUOTE])


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by their name below the archive's root folder."""
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()  # torch's reader does not tell capitals from small letters, and takes the first
    for info in archive.infolist():
        inner = info.filename.partition("/")[2]
        if inner.lower() in seen:
            raise _Unsafe(f"it holds '{_short(inner)}' twice")
        seen.add(inner.lower())
        if info.compress_type != zipfile.ZIP_STORED:
            raise _Unsafe(f"its member '{_short(info.filename)}' is compressed, as torch never does it")
        if KNOWN_MEMBERS.fullmatch(inner) is None:
            raise _Unsafe(f"it holds '{_short(info.filename)}'")
        members[inner] = info
    if not any(member.startswith("models/") for member in members):
        raise ValueError("no program")
    return members


def _parsed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    return json.loads(archive.read(info))


def _check_payloads(config: Any, member: str, members: dict[str, zipfile.ZipInfo]) -> None:
    folder = member.rpartition("/")[0]
    for name, payload in config["config"].items():
        if payload["use_pickle"]:
            raise _Unsafe(f"it stores '{_short(name)}' as a pickle")
        info = members.get(f"{folder}/{payload['path_name']}")
        sizes = [size["as_int"] for size in payload["tensor_meta"]["sizes"]]
        if info is None or (info.file_size == 0 and prod(sizes) > 0):
            raise ValueError(f"no data for {name}")


def _check_samples(data: bytes) -> None:
    """The sample inputs are a pickle always: they must load as plain tensors, or torch falls back to loading all."""
    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # a refusal or any kind of damage
        raise _Unsafe("its sample inputs hold more than tensors") from error


def _check_program(program: Any) -> None:
    for keys, text in _texts(program, ()):
        key = keys[-1] if keys else ""
        if FREE_TEXT.intersection(keys):
            continue
        if key in ("target", "as_operator"):
            if OPERATOR.fullmatch(text) is None:
                raise _Unsafe(f"it calls '{_short(text)}'")
        elif key == "expr_str":
            _check_symbolic(text)
        elif key == "guards_code":
            _check_guard(text)
        elif key in ("in_spec", "out_spec"):
            _check_container(json.loads(text)[1] if text else None)
        elif PLAIN_NAME.fullmatch(text) is None:
            raise _Unsafe(f"it uses the name '{_short(text)}'")


def _texts(node: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a JSON tree with the keys that lead to it; the keys of a mapping count as texts as well."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield keys, "" if FREE_TEXT.intersection(keys) or key.isidentifier() else _as_name(key)
            yield from _texts(value, (*keys, key))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, keys)
    elif isinstance(node, str):
        yield keys, node


def _as_name(key: str) -> str:
    if PLAIN_NAME.fullmatch(key) is None:
        raise _Unsafe(f"it uses the name '{_short(key)}'")
    return ""


def _check_container(spec: Any) -> None:
    """How inputs and outputs are nested: plain tuples, lists and dicts, whose keys are names."""
    if spec is None:
        return
    if spec["type"] not in CONTAINERS:
        raise _Unsafe(f"its inputs or outputs are of type '{_short(spec['type'])}'")
    context = json.loads(spec["context"]) if spec["context"] else None
    names = context if isinstance(context, list) else [] if context is None else [context]
    if not all(isinstance(name, (str, int)) and PLAIN_NAME.fullmatch(str(name)) for name in names):
        raise _Unsafe("the keys of its inputs or outputs are no names")
    for child in spec["children_spec"]:
        _check_container(child)


def _expression(text: str) -> ast.AST:
    if len(text) > LONGEST_EXPRESSION:
        raise _Unsafe("one of its symbolic sizes is too long")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, MemoryError) as error:
        raise _Unsafe(f"its symbolic size '{_short(text)}' is no expression") from error


def _check_symbolic(text: str) -> None:
    """A size as sympy prints it: known functions of symbols and integers."""
    if text and not _is_symbolic(_expression(text)):
        raise _Unsafe(f"it evaluates '{_short(text)}'")


def _is_symbolic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float))
    if isinstance(node, ast.Name):
        return SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.UnaryOp):
        return _is_symbolic(node.operand)
    if isinstance(node, ast.BinOp):
        plain = isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod))
        return plain and _is_symbolic(node.left) and _is_symbolic(node.right)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in SYMPY_FUNCTIONS:
        return False
    if any(word.arg is None or not isinstance(word.value, ast.Constant) for word in node.keywords):
        return False
    if node.func.id == "Symbol":
        name = node.args[0] if len(node.args) == 1 else None
        return isinstance(name, ast.Constant) and SYMBOL.fullmatch(str(name.value)) is not None
    if node.func.id in ("Pow", "PowByNatural") and not _is_small(node.args[-1] if node.args else None):
        return False
    return all(_is_symbolic(argument) for argument in node.args)


def _is_small(node: ast.AST | None) -> bool:
    """True for an exponent, `2` or `Integer(2)`, that cannot blow up."""
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value <= LARGEST_POWER


def _check_guard(text: str) -> None:
    """A condition on input sizes, such as `L['x'].size()[0] == 4`."""
    if not _is_guard(_expression(text)):
        raise _Unsafe(f"it evaluates '{_short(text)}'")


def _is_guard(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float)) or PLAIN_NAME.fullmatch(str(node.value)) is not None
    if isinstance(node, ast.Name):
        return node.id == "L"
    if isinstance(node, ast.Attribute):
        return node.attr in ("size", "stride", "storage_offset") and _is_guard(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in SYMPY_FUNCTIONS - {"Pow", "PowByNatural"} and all(map(_is_guard, node.args))
    if isinstance(node, ast.Call):
        return not node.args and not node.keywords and _is_guard(node.func)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.LShift)):
        return False
    kinds = (ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Subscript, ast.operator, ast.unaryop, ast.boolop,
             ast.cmpop, ast.expr_context)  # fmt: skip
    return isinstance(node, kinds) and all(map(_is_guard, ast.iter_child_nodes(node)))
