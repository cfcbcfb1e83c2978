"""What the benchmark scripts share: where the data is, how a process is measured, how a table is printed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # this repository's edgec, where none is installed
