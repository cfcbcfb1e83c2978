import io
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from edgec.report.model import Check, Report
from edgec.report.text import check_text, costliest_layers, render_summary, verdict_detail


def _summary(report: Report, width: int = 80, **options: Any) -> str:
    out = io.StringIO()
    render_summary(report, Console(file=out, width=width, **options))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("kind", ["microcontroller_report", "phone_report", "unknown_report"])
def test_summary_at_80_columns_without_colour(kind: str, sample: ModuleType, golden: Any) -> None:
    text = _summary(getattr(sample, kind)(), no_color=True)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    golden(text)


def test_colour_changes_no_word(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    coloured = _summary(report, force_terminal=True, color_system="truecolor")
    assert "\x1b[1;31m" in coloured
    from rich.text import Text

    plain = "\n".join(line.rstrip() for line in Text.from_ansi(coloured).plain.splitlines())
    assert plain.split() == _summary(report, no_color=True).split()


def test_markup_and_escapes_in_names_are_printed_literally(sample: ModuleType) -> None:
    text = _summary(
        sample.hostile_report("[red]x[/] \x1b[31m\u202e\nend"), width=200, force_terminal=True, color_system=None
    )
    assert text.count("[red]x[/] \\x1b[31m\\u202e\\nend") > 10
    assert "\x1b[31m" not in text
    assert "\u202e" not in text


def test_a_terminal_without_unicode_gets_ascii(sample: ModuleType) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    render_summary(sample.hostile_report("größe→日本"), Console(file=stream, width=80))
    render_summary(sample.microcontroller_report(), Console(file=stream, width=80))
    stream.flush()
    assert "gr\\xf6\\xdfe->" in raw.getvalue().decode("ascii")


def test_a_narrow_terminal_keeps_every_verdict(sample: ModuleType) -> None:
    lines = _summary(sample.microcontroller_report(), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split()[-1] for line in lines if line.startswith((" latency", " ram", " flash", " energy"))] == [
        "uncertain",
        "fits",
        "misses",
        "fits",
    ]


def test_verdict_names_the_lines_that_decide(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    assert verdict_detail(report) == "flash 158 KiB against 128 KiB"
    assert (
        verdict_detail(report.model_copy(update={"verdict": "uncertain"})) == "latency 197–320 ms reaches across 250 ms"
    )
    assert verdict_detail(report.model_copy(update={"verdict": "fits"})) == "every line holds"
    assert verdict_detail(report.model_copy(update={"verdict": "unknown"})) == "no single line of the budget decides it"
    assert verdict_detail(report.model_copy(update={"budget": []})) == "no budget was given"


def test_costliest_layers_fall_back_to_macs(sample: ModuleType) -> None:
    layers = sample.microcontroller_report().layers
    basis, costly = costliest_layers([layer.model_copy(update={"latency_ms": None}) for layer in layers], 3)
    assert basis == "MACs"
    assert [layer.name for layer, _ in costly] == ["conv_pw_3/relu", "conv_pw_5/relu", "Conv1/relu"]
    assert sum(share for _, share in costliest_layers(layers, len(layers))[1]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (Check(), "no figures"),
        (Check(identical=True, top1_agreement=1.0), "identical"),
        (Check(passed=False, max_rel_to_range=0.5, sqnr_db=3.0), "FAILED, max error 5.0e-01 of the range, SQNR 3.0 dB"),
        (Check(max_abs_error=float("nan")), "NaN or infinity in the outputs"),
        (Check(max_abs_error=0.25, top1_agreement=0.5), "max error 2.5e-01, top-1 agrees 50.00 %"),
    ],
)
def test_check_in_words(check: Check, text: str) -> None:
    assert check_text(check) == text


def test_failed_bit_exactness_is_counted(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    checks = report.checks.model_copy(update={"bit_exact_runs": 49})
    assert "49 of 50 runs byte-identical with TFLM" in _summary(report.model_copy(update={"checks": checks}))
