"""Write docs/report.schema.json from the model in edgec/report/model.py; run it after changing that model."""

from pathlib import Path

from edgec.report.model import json_schema_text, write_text_whole

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "report.schema.json"
    write_text_whole(json_schema_text(), path)
    print(f"wrote {path}")
