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
_NUMBER = re.compile(r"[0-9]{1,9}")


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
            raise self.fail(f"expected '{token}', found '{self.rest()}'")

    def word(self) -> str:
        self.skip()
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise self.fail(f"expected a name, found '{self.rest()}'")
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
        except RecursionError as error:
            raise self.fail("a JSON value is nested too deeply") from error
        except ValueError as error:
            raise self.fail("a number has more digits than any value could") from error
        return value

    def value(self) -> Any:
        """A JSON value with its tagged objects decoded and lists as tuples."""
        tree = self.json()
        try:
            return from_json(tree)
        except (ValueError, TypeError, KeyError) as error:
            raise self.fail(f"a tagged value cannot be read ({error})") from error

    def text_value(self) -> str:
        tree = self.json()
        if not isinstance(tree, str):
            raise self.fail(f"expected a string, found {json.dumps(tree)[:40]}")
        return tree

    def integers(self) -> tuple[int, ...]:
        tree = self.json()
        if not isinstance(tree, list) or not all(type(v) is int for v in tree):
            raise self.fail(f"expected a list of integers, found {json.dumps(tree)[:40]}")
        return tuple(tree)

    def name(self) -> str:
        self.skip()
        return self.text_value() if self.text.startswith('"', self.at) else self.word()

    def number(self) -> int:
        self.skip()
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self.fail(f"expected a number, found '{self.rest()}'")
        self.at = match.end()
        return int(match.group())

    def rest(self) -> str:
        """The next few characters, for messages."""
        return self.text[self.at : self.at + 20].split("\n")[0]

    def value_id(self) -> tuple[str, str]:
        """(id, name) of a value."""
        self.skip()
        sigil = self.text[self.at : self.at + 1]
        if sigil not in ("%", "$"):
            raise self.fail(f"expected a value, found '{self.rest()}'")
        self.at += 1
        name = self.name()
        suffix = ""
        if self.text.startswith("#", self.at):
            self.at += 1
            suffix = str(self.number())
        return f"{sigil}{name}#{suffix}", name

    # -- types -------------------------------------------------------------------------------------------------------

    def type(self) -> TensorType:
        word = self.word()
        try:
            dtype = DType(word)
        except ValueError:
            raise self.fail(f"there is no element type '{word}'") from None
        shape = self.integers()
        signature = self.integers() if self.accept_word("signature") else None
        quant = self.quant() if self.accept_word("quant") else None
        try:
            return TensorType(shape, dtype, quant, signature)
        except ValueError as error:
            raise self.fail(str(error)) from error

    def quant(self) -> QuantParams:
        tree = self.json()
        try:
            return self._quant(tree)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else error
            raise self.fail(f"the quantization cannot be read ({what})") from error

    def _quant(self, tree: Any) -> QuantParams:
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
            return self._ended(module)
        module.name = self.text_value()
        self.expect("{")
        while not self.accept("}"):
            self.skip()
            if self.text.startswith("graph", self.at):
                module.graphs.append(self.graph())
                continue
            word = self.word()
            if word == "description":
                module.description = self.text_value()
            elif word == "signature":
                module.signatures.append(self.signature())
            elif word == "metadata":
                self.metadata(module)
            else:
                raise self.fail(f"expected description, graph, signature or metadata, found '{word}'")
        return self._ended(module)

    def _ended(self, module: Module) -> Module:
        self.skip()
        if self.at < len(self.text):
            raise self.fail(f"expected the end of the text, found '{self.rest()}'")
        return module

    def signature(self) -> Signature:
        key, tree = self.text_value(), self.value()
        try:
            sides = [tuple((str(name), int(at)) for name, at in tree[side]) for side in ("inputs", "outputs")]
            return Signature(key, int(tree["graph"]), sides[0], sides[1])
        except (ValueError, TypeError, KeyError) as error:
            form = '{"graph": 0, "inputs": [["name", 0]], "outputs": [["name", 0]]}'
            raise self.fail(f"signature '{key}' must have the form {form}") from error

    def metadata(self, module: Module) -> None:
        key, data = self.text_value(), self.value()
        if not isinstance(data, bytes):
            raise self.fail(f'metadata \'{key}\' must be bytes: {{"$bytes": "base64"}}')
        module.metadata[key] = data

    def graph(self) -> Graph:
        if not self.accept_word("graph"):
            raise self.fail("expected 'module' or 'graph'")
        self.expect("@")
        graph = Graph(self.name())
        values: dict[str, Value] = {}
        self.expect("(")
        while not self.accept(")"):
            key, name = self.new_id(values)
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

    def new_id(self, values: dict[str, Value]) -> tuple[str, str]:
        """(id, name) of a value that is not defined yet."""
        key, name = self.value_id()
        if key in values:
            raise self.fail(f"value '{name}' is defined twice")
        return key, name

    def use(self, values: dict[str, Value]) -> Value:
        key, name = self.value_id()
        if key not in values:
            raise self.fail(f"value '{name}' is used before it is defined")
        return values[key]

    def statement(self, graph: Graph, values: dict[str, Value]) -> None:
        self.skip()
        ids: list[tuple[str, str]] = []
        if self.text[self.at : self.at + 1] in ("%", "$"):
            ids.append(self.new_id(values))
            while self.accept(","):
                ids.append(self.new_id(values))
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
            sparse = self.value()
            if not (isinstance(sparse, tuple) and len(sparse) == 2 and isinstance(sparse[1], np.ndarray)):
                raise self.fail(f"the sparse data of '{name}' must be a list of its sparsity and its bytes")
            return Value(name, type_, sparse[1], sparsity=sparse[0])
        return Value(name, type_, self.constant(type_, self.value(), name))

    def constant(self, type_: TensorType, data: Any, name: str) -> np.ndarray:
        if isinstance(data, np.ndarray):
            return data
        try:
            if isinstance(data, str):
                array = np.frombuffer(base64.b64decode(data, validate=True), type_.dtype.numpy)
            else:
                array = np.array(data, type_.dtype.numpy)
            return array.reshape(type_.shape)
        except (ValueError, TypeError, OverflowError) as error:
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
                attributes[key] = self.value()
                self.accept(",")
        types = self._result_types(len(ids))
        results = [Value(name, type_) for (_, name), type_ in zip(ids, types)]
        intermediates = []
        if self.accept_word("intermediates"):
            self.expect("(")
            while not self.accept(")"):
                intermediates.append(self.use(values))
                self.accept(",")
        version = self.number() if self.accept_word("version") else None
        name = self.text_value() if self.accept_word("name") else (ids[0][1] if ids else "")
        source = self.text_value() if self.accept_word("from") else ""
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
