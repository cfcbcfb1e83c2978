"""Reads the text form of a module that `printer` writes."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np

from edgec.errors import ParseError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.op_def import OpRegistry
from edgec.ir.text_values import from_json
from edgec.ir.types import QuantParams, TensorType
from edgec.schema.defaults import default_attributes

_JSON = json.JSONDecoder()
_SPACE = re.compile(r"(?:\s|//[^\n]*)*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NUMBER = re.compile(r"\d+")


def parse_module(text: str, op_defs: OpRegistry) -> Module:
    """The module a text describes; a text of a single graph gives a module of that graph.

    Raises:
        ParseError: the text is not in the text form; the message names the line.
    """
    return _Parser(text, op_defs).module()


class _Parser:
    def __init__(self, text: str, op_defs: OpRegistry) -> None:
        self.text = text
        self.op_defs = op_defs
        self.at = 0

    # -- tokens ------------------------------------------------------------------------------------------------------

    def fail(self, message: str) -> ParseError:
        line = self.text.count("\n", 0, self.at) + 1
        return ParseError(f"Parsing the text form, line {line}: {message}.")

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def accept(self, token: str) -> bool:
        self.skip()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.accept(token):
            found = self.text[self.at : self.at + 20].split("\n")[0]
            raise self.fail(f"expected '{token}', found '{found}'")

    def word(self) -> str:
        self.skip()
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise self.fail(f"expected a name, found '{self.text[self.at : self.at + 20]}'")
        self.at = match.end()
        return match.group()

    def accept_word(self, word: str) -> bool:
        self.skip()
        match = _WORD.match(self.text, self.at)
        if match is None or match.group() != word:
            return False
        self.at = match.end()
        return True

    def json(self) -> Any:
        self.skip()
        try:
            value, self.at = _JSON.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            raise self.fail(f"expected a JSON value ({error.msg})") from error
        return value

    def name(self) -> str:
        self.skip()
        return str(self.json()) if self.text.startswith('"', self.at) else self.word()

    def value_id(self) -> tuple[str, str]:
        """(id, name) of a value."""
        self.skip()
        sigil = self.text[self.at : self.at + 1]
        if sigil not in ("%", "$"):
            raise self.fail(f"expected a value, found '{self.text[self.at : self.at + 20]}'")
        self.at += 1
        name = self.name()
        suffix = ""
        if self.text.startswith("#", self.at):
            self.at += 1
            match = _NUMBER.match(self.text, self.at)
            if match is None:
                raise self.fail("expected a number after '#'")
            suffix = match.group()
            self.at = match.end()
        return f"{sigil}{name}#{suffix}", name

    # -- types -------------------------------------------------------------------------------------------------------

    def type(self) -> TensorType:
        word = self.word()
        try:
            dtype = DType(word)
        except ValueError:
            raise self.fail(f"there is no element type '{word}'") from None
        shape = tuple(self.json())
        signature = tuple(self.json()) if self.accept_word("signature") else None
        quant = self.quant() if self.accept_word("quant") else None
        try:
            return TensorType(shape, dtype, quant, signature)
        except (ValueError, TypeError) as error:
            raise self.fail(str(error)) from error

    def quant(self) -> QuantParams:
        tree = self.json()
        minimum, maximum = from_json(tree.get("range", [[], []]))
        axis = tree.get("axis")
        if axis is None:
            return QuantParams((tree["scale"],), (tree["zero_point"],), None, minimum, maximum)
        scale = tuple(tree["scale"])
        zero_point = tree["zero_point"]
        zero_points = tuple(zero_point) if isinstance(zero_point, list) else (zero_point,) * len(scale)
        return QuantParams(scale, zero_points, axis, minimum, maximum)

    # -- structure ---------------------------------------------------------------------------------------------------

    def module(self) -> Module:
        module = Module([])
        if not self.accept_word("module"):
            module.graphs.append(self.graph())
            return module
        module.name = str(self.json())
        self.expect("{")
        while not self.accept("}"):
            self.skip()
            if self.text.startswith("graph", self.at):
                module.graphs.append(self.graph())
                continue
            word = self.word()
            if word == "description":
                module.description = str(self.json())
            elif word == "signature":
                key, tree = self.json(), from_json(self.json())
                module.signatures.append(Signature(key, tree["graph"], tree["inputs"], tree["outputs"]))
            elif word == "metadata":
                key = str(self.json())
                module.metadata[key] = from_json(self.json())
            else:
                raise self.fail(f"expected graph, signature or metadata, found '{word}'")
        return module

    def graph(self) -> Graph:
        if not self.accept_word("graph"):
            raise self.fail("expected 'module' or 'graph'")
        self.expect("@")
        graph = Graph(self.name())
        values: dict[str, Value] = {}
        self.expect("(")
        while not self.accept(")"):
            key, name = self.value_id()
            self.expect(":")
            values[key] = graph.add_input(name, self.type())
            self.accept(",")
        self.expect("{")
        while not self.accept_word("return"):
            self.statement(graph, values)
        outputs = []
        while not self.accept("}"):
            outputs.append(self.use(values))
            self.accept(",")
        graph.outputs = outputs
        return graph

    def use(self, values: dict[str, Value]) -> Value:
        key, name = self.value_id()
        if key not in values:
            raise self.fail(f"value '{name}' is used before it is defined")
        return values[key]

    def statement(self, graph: Graph, values: dict[str, Value]) -> None:
        self.skip()
        ids: list[tuple[str, str]] = []
        if self.text[self.at : self.at + 1] in ("%", "$"):
            ids.append(self.value_id())
            while self.accept(","):
                ids.append(self.value_id())
            self.expect("=")
        word = self.word()
        if word in ("constant", "variable", "tensor") and len(ids) == 1:
            key, name = ids[0]
            values[key] = self.leaf(word, name)
            return
        self.op(graph, word, ids, values)

    def leaf(self, word: str, name: str) -> Value:
        type_ = self.type()
        if word != "constant":
            return Value(name, type_, is_variable=word == "variable")
        if self.accept_word("elided"):
            raise self.fail(f"the data of '{name}' was left out of this text")
        if self.accept_word("sparse"):
            sparsity, data = from_json(self.json())
            return Value(name, type_, data, sparsity=sparsity)
        return Value(name, type_, self.constant(type_, from_json(self.json()), name))

    def constant(self, type_: TensorType, data: Any, name: str) -> np.ndarray:
        if isinstance(data, np.ndarray):
            return data
        try:
            if isinstance(data, str):
                array = np.frombuffer(base64.b64decode(data), type_.dtype.numpy)
            else:
                array = np.array(data, type_.dtype.numpy)
            return array.reshape(type_.shape)
        except ValueError as error:
            raise self.fail(f"the data of '{name}' does not fit {type_} ({error})") from error

    def op(self, graph: Graph, opcode: str, ids: list[tuple[str, str]], values: dict[str, Value]) -> None:
        self.expect("(")
        operands: list[Value | None] = []
        while not self.accept(")"):
            operands.append(None if self.accept_word("none") else self.use(values))
            self.accept(",")
        definition = self.op_defs.get(opcode)
        attributes = default_attributes(definition.options) if definition else {}
        if self.accept("{"):
            while not self.accept("}"):
                key = self.word()
                self.expect("=")
                attributes[key] = from_json(self.json())
                self.accept(",")
        types = self._result_types(len(ids))
        results = [Value(name, type_) for (_, name), type_ in zip(ids, types)]
        intermediates = []
        if self.accept_word("intermediates"):
            self.expect("(")
            while not self.accept(")"):
                intermediates.append(self.use(values))
                self.accept(",")
        version = int(self.json()) if self.accept_word("version") else None
        name = str(self.json()) if self.accept_word("name") else (ids[0][1] if ids else "")
        source = str(self.json()) if self.accept_word("from") else ""
        graph.append(
            Op(opcode, operands, results, attributes, name=name, source=source, version=version,
               intermediates=intermediates)
        )  # fmt: skip
        values.update({key: value for (key, _), value in zip(ids, results)})

    def _result_types(self, count: int) -> list[TensorType]:
        if not count:
            return []
        self.expect(":")
        types = [self.type()]
        while len(types) < count:
            self.expect(",")
            types.append(self.type())
        return types
