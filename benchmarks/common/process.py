"""Run a whole process and measure its wall time and the peak memory of its largest process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from common.locations import REPOSITORY, WORK


@dataclass(frozen=True)
class Run:
    """One finished process: wall time in seconds, peak resident set of the largest process in MiB, what it printed."""

    seconds: float
    peak_mib: float
    exit_status: int
    output: str


# A fresh interpreter starts the command, so that RUSAGE_CHILDREN covers that command and its descendants alone.
# It starts it by posix_spawn: a forked child would begin with the interpreter's own resident set on its account.
_LAUNCHER = """
import json, os, resource, sys, time
log = os.open(sys.argv[2], os.O_WRONLY)
redirect = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
started = time.perf_counter()
process = os.posix_spawnp(sys.argv[3], sys.argv[3:], os.environ, file_actions=redirect)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
largest = max(usage.ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
with open(sys.argv[1], "w") as file:
    json.dump([seconds, largest / 1024, os.waitstatus_to_exitcode(status)], file)
"""


def run(command: Sequence[str], *, check: bool = True, extra_environment: dict[str, str] | None = None) -> Run:
    """Run `command` to its end; a failing command ends the script with its output unless `check` is False."""
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        log.touch()
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(result), str(log)]
        subprocess.run([*launcher, *command], env={**environment(), **(extra_environment or {})}, check=True)
        seconds, peak_mib, exit_status = json.loads(result.read_text())
        output = log.read_text(errors="replace")
    if check and exit_status != 0:
        sys.exit(f"{' '.join(command)}: exit status {exit_status}\n{output[-4000:]}")
    return Run(seconds, peak_mib, exit_status, output)


def alternate(
    commands: Sequence[Sequence[str]], repetitions: int, before_each: Callable[[], object] | None = None
) -> list[list[Run]]:
    """Run the commands in turn, A B A B …, `repetitions` times each; one list of runs for each command.

    `before_each` is called before each run, outside of its time. Each command runs with its own folder first on PATH,
    as in an activated environment: onnx2tf calls `onnxsim` by name, and where it does not find it it goes on and
    writes a far worse artifact.
    """
    runs: list[list[Run]] = [[] for _ in commands]
    for _ in range(repetitions):
        for command, results in zip(commands, runs):
            if before_each is not None:
                before_each()
            path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
            results.append(run(command, extra_environment={"PATH": path}))
    return runs


def median_seconds(runs: Sequence[Run]) -> float:
    """Median wall time."""
    return median(one.seconds for one in runs)


def median_peak_mib(runs: Sequence[Run]) -> float:
    """Median of the peak resident set of the largest process."""
    return median(one.peak_mib for one in runs)


def environment() -> dict[str, str]:
    """This process's environment with the repository on PYTHONPATH, so that `python -m edgec` finds this tree.

    Byte code is kept, as an installation keeps it, but in the work folder: compiling edgec's own modules each time
    would cost it 0.25 s that the peers, which pip installed, do not pay.
    """
    inherited = os.environ.get("PYTHONPATH", "")
    path = f"{REPOSITORY}{os.pathsep}{inherited}" if inherited else str(REPOSITORY)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(WORK / "bytecode")}
