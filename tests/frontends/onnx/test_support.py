import json
from pathlib import Path

from edgec.frontends.onnx import families
from edgec.frontends.onnx.refused_ops import REFUSED
from edgec.frontends.onnx.support import DIRECT, describe_onnx_ops, onnx_ops_document

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
    assert statuses["Attention"] == "composed"
    assert statuses["SoftmaxCrossEntropyLoss"] == "by definition"
    assert statuses["If"] == "unrolled"
    assert statuses["StringSplit"] == "refused"


def test_a_case_with_another_expectation_is_explained() -> None:
    case = "node/test_qlinearmatmul_2D_int8_float32"
    failures = [{"case": case, "stage": "failed", "reason": "1 of 6 values differ"}]
    suite = {"summary": {"eligible": 10, "passed": 9}, "failures": failures}
    assert f"| {case} | failed: 1 of 6 values differ: the expectation wraps around" in onnx_ops_document(suite)
    assert "| FusedMatMul |" in onnx_ops_document(suite)


def test_every_op_has_a_status_and_every_refused_one_a_reason() -> None:
    refused = {name: remark for name, status, remark in describe_onnx_ops() if status == "refused"}
    assert refused.keys() <= REFUSED.keys()
    assert all(refused.values())
