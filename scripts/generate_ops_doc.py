"""Write docs/ops.md from the op definitions; run it after changing anything in edgec/ops."""

from pathlib import Path

from edgec.ops.catalogue import ops_document

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "ops.md"
    path.write_bytes(ops_document().encode("utf-8"))
    print(f"wrote {path}")
