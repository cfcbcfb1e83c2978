"""What the Python API takes as options."""

from typing import Any

import pytest

from edgec.driver import CompileOptions
from edgec.errors import ProfileError
from edgec.target.budget import Budget, parse_budget


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ("latency=20ms,ram=256KiB", Budget(latency_ms=20.0, ram_bytes=256 << 10)),
        (parse_budget("flash=1MiB"), Budget(flash_bytes=1 << 20)),
        (Budget(), Budget()),
    ],
)
def test_a_budget_may_be_text(given: Budget | str, limits: Budget) -> None:
    assert CompileOptions(device="rpi4", budget=given).limits == limits


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("latency<=5ms", "budget 'latency<=5ms': unknown key 'latency<'"),
        ("5ms", "budget '5ms': '5ms' is not NAME=VALUE"),
        ("", "budget '': '' is not NAME=VALUE"),
        ({"latency_ms": 5}, "Reading the budget: it is a table with latency_ms; give a Budget, or text such as"),
        (5, "Reading the budget: it is 5; give a Budget, or text such as latency=20ms,ram=256KiB."),
    ],
)
def test_what_is_no_budget_is_refused_at_once(given: Any, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        CompileOptions(device="rpi4", budget=given)
    assert str(caught.value).startswith(message)
