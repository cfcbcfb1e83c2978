"""Passes by name, and the text form of a pipeline with its errors in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from edgec.errors import PassError
from edgec.ir.graph import Module
from edgec.passes.base import Pass, PassContext, PassResult
from edgec.passes.registry import PassRegistry


@dataclass(frozen=True)
class Plain(Pass):
    """No options."""

    name: ClassVar[str] = "plain"

    def run(self, module: Module, context: PassContext) -> PassResult:
        return PassResult(False)


@dataclass(frozen=True)
class Optional(Plain):
    """An option of each kind."""

    name: ClassVar[str] = "optional"
    ratio: float = 0.5
    count: int = 1
    flag: bool = False
    mode: str = "auto"
    axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count is {self.count}, must not be negative")


@dataclass(frozen=True)
class Required(Plain):
    """An option without a default."""

    size: int
    name: ClassVar[str] = "required"


REGISTRY = PassRegistry((Plain, Optional, Required))


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", []),
        ("plain", [Plain()]),
        (" plain , plain,", [Plain(), Plain()]),
        ("plain{}", [Plain()]),
        ("optional{ratio=0.25},plain", [Optional(ratio=0.25), Plain()]),
        ("optional{ratio=1}", [Optional(ratio=1)]),
        ("optional{ count = 3 , flag=true, mode=fast }", [Optional(count=3, flag=True, mode="fast")]),
        ('optional{mode="a,b",axes=[1, 2]}', [Optional(mode="a,b", axes=(1, 2))]),
        ("required{size=4}", [Required(size=4)]),
    ],
)
def test_pipelines(text: str, passes: list[Pass]) -> None:
    assert REGISTRY.parse(text) == passes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("plian", "There is no pass 'plian'; the passes are optional, plain, required."),
        ("plain{ratio=1}", "Pass 'plain' has no option 'ratio'; its options are: none."),
        (
            "optional{rate=1}",
            "Pass 'optional' has no option 'rate'; its options are: ratio, count, flag, mode, axes.",
        ),
        ("optional{ratio}", "Pass 'optional': option 'ratio' has no value; write ratio=VALUE."),
        ("optional{=3}", "Pass 'optional': option '' has no value; write option=VALUE."),
        ("optional{count=1,count=2}", "Pass 'optional': option 'count' is given twice."),
        ("optional{count=1.5}", "Pass 'optional': option 'count' takes a value of type int, found 1.5."),
        ("optional{count=true}", "Pass 'optional': option 'count' takes a value of type int, found true."),
        ("optional{ratio=true}", "Pass 'optional': option 'ratio' takes a value of type float, found true."),
        ("optional{ratio=half}", "Pass 'optional': option 'ratio' takes a value of type float, found \"half\"."),
        ("optional{mode=3}", "Pass 'optional': option 'mode' takes a value of type str, found 3."),
        ("optional{count=-1}", "Pass 'optional': count is -1, must not be negative."),
        ("required", "Pass 'required' needs a value for option 'size'."),
        (
            "plain plain",
            "The pipeline 'plain plain' cannot be read from 'plain plain' on; write it as name,name{option=value}.",
        ),
        (
            "plain,optional{ratio=1",
            "The pipeline 'plain,optional{ratio=1' cannot be read from 'optional{ratio=1' on; "
            "write it as name,name{option=value}.",
        ),
        (
            "plain,,plain",
            "The pipeline 'plain,,plain' cannot be read from ',plain' on; write it as name,name{option=value}.",
        ),
    ],
)  # fmt: skip
def test_pipeline_errors(text: str, sentence: str) -> None:
    with pytest.raises(PassError) as caught:
        REGISTRY.parse(text)
    assert str(caught.value) == sentence


def test_options_are_the_fields() -> None:
    assert Optional(count=2).options() == {"ratio": 0.5, "count": 2, "flag": False, "mode": "auto", "axes": ()}


def test_registering_twice_or_without_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^pass name 'plain' is empty or registered twice$"):
        PassRegistry((Plain, Plain))

    @dataclass(frozen=True)
    class Nameless(Plain):
        name: ClassVar[str] = ""

    with pytest.raises(ValueError, match=r"^pass name '' is empty or registered twice$"):
        PassRegistry((Nameless,))
    assert list(REGISTRY) == ["plain", "optional", "required"]
