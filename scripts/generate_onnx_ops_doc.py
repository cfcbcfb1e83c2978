"""Write docs/onnx-ops.md; run it after changing edgec/frontends/onnx.

The outcomes of ONNX's backend cases come from benchmarks/onnx_suite_failures.json, which
`python benchmarks/onnx_suite.py --record` writes.
"""

import json
from pathlib import Path

from edgec.frontends.onnx.support import onnx_ops_document

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    suite = json.loads((root / "benchmarks" / "onnx_suite_failures.json").read_text("utf-8"))
    path = root / "docs" / "onnx-ops.md"
    path.write_bytes(onnx_ops_document(suite).encode("utf-8"))
    print(f"wrote {path}")
