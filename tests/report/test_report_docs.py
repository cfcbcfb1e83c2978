import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from edgec.report.compare import METRICS
from edgec.report.model import Evidence, Report, Verdict, write_report

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "reading-a-report.md").read_text(encoding="utf-8")


def test_guide_explains_every_section_word_and_figure() -> None:
    words = set(re.findall(r"`([^`\n]+)`", GUIDE))
    sections = {field.alias or name for name, field in Report.model_fields.items()} - {"verdict"}
    assert sections <= words
    assert {*get_args(Evidence), *get_args(Verdict)} <= words
    assert {metric.name for metric in METRICS} <= words


def test_example_of_the_guide_runs(sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    write_report(sample.phone_report(), "out/report.json")
    exec(code, {})
    write_report(sample.microcontroller_report(), "out/report.json")
    with pytest.raises(AssertionError, match=r"\['latency', 'flash'\]"):
        exec(code, {})
