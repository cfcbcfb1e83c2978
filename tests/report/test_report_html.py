import re
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest

from edgec.report.html import MAX_TABLE_ROWS, render_html

ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\"--></style></svg></title><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "</script><script>alert(1)</script>",
]
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Collects the tags with their attributes and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)


def _structure(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(sorted(attributes))) for tag, attributes in Page(text).tags]


@pytest.mark.parametrize("kind", ["microcontroller_report", "phone_report", "unknown_report"])
def test_page(kind: str, sample: ModuleType, golden: Any) -> None:
    text = render_html(getattr(sample, kind)())
    Page(text)
    golden(text, ".html")


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_from_the_model_add_no_tag_and_no_attribute(attack: str, sample: ModuleType) -> None:
    harmless = render_html(sample.hostile_report("harmless"))
    attacked = render_html(sample.hostile_report(attack))
    assert _structure(attacked) == _structure(harmless)
    assert sum(attack in data for data in Page(attacked).text) > 20
    assert attacked.count("<script>") == 1


def test_names_never_reach_style_href_or_script(sample: ModuleType) -> None:
    text = render_html(sample.hostile_report("zzname"))
    for tag, attributes in Page(text).tags:
        named = {key for key, value in attributes.items() if value and "zzname" in value}
        assert named <= {"title", "aria-label", "content"}, (tag, named)
    for block in re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL):
        assert "zzname" not in block[1]


def test_control_characters_are_shown_as_escapes(sample: ModuleType) -> None:
    text = render_html(sample.hostile_report("a\x00b\u202ec\ud800"))
    assert "a\\x00b\\u202ec?" in text
    text.encode("utf-8")
    assert "\x00" not in text
    assert "\u202e" not in text


def test_page_loads_nothing(sample: ModuleType) -> None:
    text = render_html(sample.microcontroller_report())
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "form", "base", "a"}
    assert not any({"src", "href", "srcset", "action"} & attributes.keys() for _, attributes in page.tags)
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", text)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    script_policy = policy.split("script-src ")[1].split(";")[0]
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", script_policy)


def test_page_of_ten_thousand_layers_stays_small(sample: ModuleType) -> None:
    text = render_html(sample.chain_report(10_000))
    tags = [tag for tag, _ in Page(text).tags]
    assert tags.count("rect") <= 2 * 240
    assert text.count("<tr>") < MAX_TABLE_ROWS + 60
    assert "The 1000 costliest of 10000 layers" in text
    assert len(text) < 1_000_000


def test_all_layers_are_listed_in_order(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    text = render_html(report)
    table = text.split('class="sortable"')[1].split("</table>")[0]
    assert [int(found) for found in re.findall(r'<tr><td class="number" data-value="(\d+)"', table)] == list(range(31))
    assert all(layer.name in table for layer in report.layers)


def test_missed_line_and_failed_check_stand_out(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    assert '<div class="verdict misses">' in render_html(report)
    failed = report.checks.artifact_vs_float.model_copy(update={"passed": False, "identical": False})
    text = render_html(
        report.model_copy(update={"checks": report.checks.model_copy(update={"artifact_vs_float": failed})})
    )
    assert '<span class="chip strong misses">failed</span>' in text
