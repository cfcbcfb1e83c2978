"""The text form of a module, as `edgec opt` reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from fuzz.case import Case
from fuzz.mutate import mutate_text

PASSES = ("fold_constants", "eliminate_dead_code", "canonicalize_reshape", "eliminate_identity")
MAX_SEED_CHARACTERS = 20_000


@cache
def corpus() -> tuple[str, ...]:
    """Printed modules: those of the `.tflite` target."""
    from edgec.ir.printer import print_module
    from edgec.ops import OP_DEFS
    from fuzz.targets import tflite

    texts = (print_module(module, OP_DEFS) for module in tflite.modules())
    return tuple(text for text in texts if len(text) <= MAX_SEED_CHARACTERS)


@cache
def _words() -> tuple[str, ...]:
    from edgec.ops import OP_DEFS

    return (*OP_DEFS, "float32", "int8", "int4", "string", "bool", "quant", "signature", "variable", "graph", "main")


class TextTarget:
    """The parser, the verifier, the printer, the writer; now and then a few passes."""

    name = "text"

    def make(self, random: Random) -> Case:
        """A new case."""
        donors = [random.choice(corpus())]
        text = mutate_text(random, random.choice(corpus()), donors, _words())
        mode = "opt" if random.random() < 0.1 else "parse"
        return Case("graph.ir", {"graph.ir": text.encode("utf-8", "surrogatepass")}, mode=mode)

    def run(self, path: Path, case: Case) -> None:
        """What `edgec opt` does."""
        from edgec.backends.tflite import serialize
        from edgec.errors import ParseError
        from edgec.ir.parser import parse_module
        from edgec.ir.printer import print_module
        from edgec.ops import OP_DEFS, verify

        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError("no UTF-8") from error
        module = parse_module(text, OP_DEFS)
        verify(module)
        again = print_module(module, OP_DEFS)
        parse_module(again, OP_DEFS)
        if case.mode == "opt":
            self._run_passes(module)
        serialize(module)

    def _run_passes(self, module: object) -> None:
        from edgec.driver.pipeline import all_passes
        from edgec.ir.graph import Module
        from edgec.passes.base import PassContext
        from edgec.passes.manager import run_passes

        assert isinstance(module, Module)
        run_passes(module, all_passes().parse(",".join(PASSES)), PassContext(None))
