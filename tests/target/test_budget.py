import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.errors import ProfileError
from edgec.target.budget import Budget, BudgetLine, Verdict, judge, load_budget, overall, parse_budget

KEYS = "accuracy-drop, energy, flash, latency, power, ram"


def test_all_lines_and_units() -> None:
    budget = parse_budget("latency=30ms, ram=256KiB,flash=1MiB,energy=5mJ,power=1.5W,accuracy-drop=1%")
    assert budget == Budget(30.0, 262144, 1048576, 5.0, 1500.0, 0.01)
    assert budget.lines()[1] == BudgetLine("ram", 262144, "B")
    assert [line.name for line in budget.lines()] == ["latency", "ram", "flash", "energy", "power", "accuracy-drop"]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("latency=250us", "latency_ms", 0.25),
        ("latency=2s", "latency_ms", 2000.0),
        ("ram=100B", "ram_bytes", 100),
        ("ram=1.5KB", "ram_bytes", 1500),
        ("flash=2MB", "flash_bytes", 2_000_000),
        ("flash=1GB", "flash_bytes", 10**9),
        ("energy=20uJ", "energy_mj", 0.02),
        ("energy=1J", "energy_mj", 1000.0),
        ("power=45mW", "power_mw", 45.0),
        ("accuracy-drop=0.5points", "accuracy_drop", 0.005),
        ("accuracy_drop=2 percent", "accuracy_drop", 0.02),
    ],
)
def test_each_unit(text: str, field: str, value: float) -> None:
    assert getattr(parse_budget(text), field) == pytest.approx(value)


BYTES = "write a number with one of the units B, KB, KiB, MB, MiB, GB, GiB"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "budget '': '' is not NAME=VALUE; write it like latency=30ms,ram=256KiB"),
        ("ram", "budget 'ram': 'ram' is not NAME=VALUE; write it like latency=30ms,ram=256KiB"),
        (
            "latncy=1ms",
            f"budget 'latncy=1ms': unknown key 'latncy' (did you mean 'latency'?); allowed keys are {KEYS}",
        ),
        ("ram=1KiB,ram=2KiB", "budget 'ram=1KiB,ram=2KiB': key 'ram' is given twice; keep one"),
        ("ram=1kb", f"budget 'ram=1kb': key 'ram' is '1kb', which has the unit 'kb'; {BYTES}"),
        ("ram=64", f"budget 'ram=64': key 'ram' is '64', which has no unit; {BYTES}"),
        ("ram=big", f"budget 'ram=big': key 'ram' is 'big', which is no number with a unit; {BYTES}"),
        ("ram=0.5B", "budget 'ram=0.5B': key 'ram' is '0.5B'; a limit must be one byte or more"),
        ("latency=0ms", "budget 'latency=0ms': key 'latency' is '0ms'; a limit must be above zero and finite"),
        ("latency=-3ms", "budget 'latency=-3ms': key 'latency' is '-3ms'; a limit must be above zero and finite"),
        ("energy=1e999J", "budget 'energy=1e999J': key 'energy' is '1e999J'; a limit must be above zero and finite"),
        (
            "accuracy-drop=101%",
            "budget 'accuracy-drop=101%': key 'accuracy-drop' is '101%'; a drop cannot be more than 100%",
        ),
    ],
)
def test_refusals_say_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_budget(text)
    assert str(caught.value) == message


def test_file_at_top_or_in_a_table(tmp_path: Path) -> None:
    top, table = tmp_path / "a.toml", tmp_path / "b.toml"
    top.write_text('latency = "30ms"\naccuracy-drop = "1%"\n')
    table.write_text('[budget]\nlatency = "30ms"\naccuracy-drop = "1%"\n')
    assert load_budget(top) == load_budget(str(table)) == Budget(latency_ms=30.0, accuracy_drop=0.01)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", 'the budget has no lines; write it like latency = "30ms"'),
        ("budget = 3", 'the budget has no lines; write it like latency = "30ms"'),
        ("latency = 30", "key 'latency' is 30; write a number with its unit, like \"30ms\""),
        ('rom = "3KB"', f"unknown key 'rom' (did you mean 'ram'?); allowed keys are {KEYS}"),
    ],
)
def test_file_refusals(tmp_path: Path, text: str, rest: str) -> None:
    path = tmp_path / "budget.toml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        load_budget(path)
    assert str(caught.value) == f"{path}: {rest}"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        load_budget(tmp_path / "no.toml")
    assert str(caught.value) == f"reading {tmp_path / 'no.toml'}: No such file or directory; give a readable .toml file"


@pytest.mark.parametrize(
    ("limit", "value", "low", "high", "verdict"),
    [
        (10, 10, None, None, "fits"),
        (10, 10.01, None, None, "misses"),
        (10, 8, 5, 10, "fits"),
        (10, 8, 5, 10.5, "uncertain"),
        (10, 12, 10, 20, "uncertain"),
        (10, 12, 10.5, 20, "misses"),
        (10, None, None, None, "unknown"),
        (10, None, 1, 2, "unknown"),
        (10, math.nan, None, None, "unknown"),
        (10, 5, None, math.nan, "unknown"),
    ],
)
def test_judge(limit: float, value: float | None, low: float | None, high: float | None, verdict: Verdict) -> None:
    assert judge(limit, value, low, high) == verdict


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], "fits"),
        (["fits", "fits"], "fits"),
        (["fits", "uncertain"], "uncertain"),
        (["uncertain", "unknown"], "unknown"),
        (["unknown", "misses", "fits"], "misses"),
    ],
)
def test_overall(verdicts: list[Verdict], worst: Verdict) -> None:
    assert overall(verdicts) == worst


@given(st.text(alphabet="latencyrmfh-=,.0123456789eE+%KiBMmsuJW ", max_size=40) | st.text(max_size=20))
def test_any_text_gives_a_budget_or_one_sentence(text: str) -> None:
    try:
        budget = parse_budget(text)
    except ProfileError:
        return  # any other exception fails the test
    assert budget.lines()
    assert all(line.limit > 0 and math.isfinite(line.limit) for line in budget.lines())


@given(st.integers(min_value=1, max_value=1 << 40))
def test_bytes_are_exact(count: int) -> None:
    assert parse_budget(f"ram={count}B").ram_bytes == count


@given(st.floats(1e-6, 1e6), st.floats(0, 1), st.floats(1, 10), st.floats(1e-6, 1e7))
def test_a_larger_limit_is_never_judged_worse(value: float, shrink: float, grow: float, limit: float) -> None:
    order = {"misses": 0, "uncertain": 1, "fits": 2}
    verdicts = [judge(bound, value, value * shrink, value * grow) for bound in (limit, limit * 1.5)]
    assert order[verdicts[0]] <= order[verdicts[1]]


@given(st.integers(min_value=-5, max_value=0))
def test_a_budget_made_in_code_is_checked_too(limit: int) -> None:
    with pytest.raises(ProfileError, match=r"^budget: ram_bytes is -?\d+; a limit must be above zero and finite$"):
        Budget(ram_bytes=limit)
