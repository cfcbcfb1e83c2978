import json
from pathlib import Path

from edgec.frontends.onnx import families
from edgec.frontends.onnx.support import DIRECT, REFUSED, describe_onnx_ops, onnx_ops_document

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_current() -> None:
    suite = json.loads((ROOT / "benchmarks" / "onnx_suite_failures.json").read_text("utf-8"))
    written = (ROOT / "docs" / "onnx-ops.md").read_bytes().decode("utf-8")
    assert written == onnx_ops_document(suite), "run scripts/generate_onnx_ops_doc.py"


def test_lists_name_real_ops_once() -> None:
    statuses = {name: status for name, status, _ in describe_onnx_ops()}
    assert set(families.TRANSLATIONS) >= DIRECT
    assert not REFUSED.keys() & families.TRANSLATIONS.keys()
    assert REFUSED.keys() <= statuses.keys()
    assert statuses["Conv"] == "one op"
    assert statuses["LSTM"] == "composed"
    assert statuses["Attention"] == "by definition"
    assert statuses["If"] == "unrolled"
    assert statuses["StringSplit"] == "refused"
