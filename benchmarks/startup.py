"""How long `import edgec` and `edgec --help` take: medians of fresh processes, the import timed inside the process."""

import argparse
import sys
from statistics import median

from common.locations import edgec_command
from common.process import alternate, median_seconds
from common.table import Row, print_machine, print_rows

IMPORT_BAR, HELP_BAR = 0.15, 0.3
_TIMED_IMPORT = "import time; started = time.perf_counter(); import edgec; print(time.perf_counter() - started)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    commands = [
        [sys.executable, "-c", "pass"],
        [sys.executable, "-c", _TIMED_IMPORT],
        [*edgec_command(), "--help"],
    ]
    alternate(commands, 1)  # writes bytecode and fills the page cache; not counted
    bare, imports, helps = alternate(commands, arguments.repetitions)
    import_seconds = median(float(one.output) for one in imports)
    help_seconds = median_seconds(helps)
    print_machine("edgec")
    rows = [
        Row("python -c pass, whole process", f"{median_seconds(bare):.3f} s"),
        Row("import edgec", f"{import_seconds:.3f} s", "", f"<= {IMPORT_BAR} s", import_seconds <= IMPORT_BAR),
        Row("the same, whole process", f"{median_seconds(imports):.3f} s"),
        Row("edgec --help, whole process", f"{help_seconds:.3f} s", "", f"<= {HELP_BAR} s", help_seconds <= HELP_BAR),
    ]
    print_rows("Start-up", rows)


if __name__ == "__main__":
    main()
