"""Fuzz one of edgec's parsers: `python benchmarks/fuzz/run.py onnx --seconds 600 --seed 0`.

Cases are made from the seed and their number alone, so `--replay` runs one again. Each runs in a worker process that
this one watches: an exception that is no EdgecError, a crash, more than 10 s of the worker's processor time, more than
1 GiB beyond 20 times the files' size, and any file opened outside of the model's folder are findings. They are kept
with their seed under --findings; the exit status is 1 where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.locations import WORK
from common.process import environment

from fuzz.registry import TARGETS, target_named
from fuzz.watch import cpu_seconds, memory_bytes
from fuzz.worker import HANG_S, MEMORY_BYTES, MEMORY_FACTOR, Runner, _digest, case_of, load_saved, save

POLL_S = 0.1
KILL_MEMORY_BYTES = 6 << 30
START_S = 120.0  # for making the corpus
STUCK_S = 180.0  # of wall time: a worker that waits for something that does not come


@dataclass
class Job:
    """One worker process and what it said last."""

    process: subprocess.Popen[bytes]
    pipe: int
    first: int
    buffer: bytes = b""
    index: int | None = None  # of the case that runs now
    cpu_at_start: float = 0.0
    wall_at_start: float = field(default_factory=time.monotonic)
    case_bytes: int = 0
    base_bytes: int = 0
    minimising: bool = False


class Fuzzing:
    """All workers of one run and the tally."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.name, self.seed, self.step = arguments.target, arguments.seed, arguments.jobs
        self.findings: Path = arguments.findings
        self.python: str = arguments.python
        self.outcomes: Counter[str] = Counter()
        self.found: dict[str, dict[str, Any]] = {}
        self.jobs: list[Job] = []
        self.selector = selectors.DefaultSelector()
        self.last_index = 0
        self.begin = arguments.first
        self.started: float | None = None  # when the first case began: making the corpus does not count

    def run(self, seconds: float) -> None:
        """Start the workers, watch them until the time is over, end them."""
        for number in range(self.step):
            self.start(self.begin + number)
        shown = time.monotonic()
        try:
            while self.started is None or time.monotonic() < self.started + seconds:
                for key, _ in self.selector.select(POLL_S):
                    self.read(key.data)
                for job in list(self.jobs):
                    self.check(job)
                if time.monotonic() - shown > 30:
                    shown = time.monotonic()
                    print(
                        f"{self.name}: {dict(self.outcomes)}, {len(self.found)} findings", file=sys.stderr, flush=True
                    )
        finally:
            for job in self.jobs:
                job.process.kill()
                job.process.wait()

    def start(self, first: int) -> None:
        reading, writing = os.pipe()
        self.findings.mkdir(parents=True, exist_ok=True)
        log = (self.findings / f"{self.name}-{first % self.step}.log").open("wb")
        inherited = environment()
        path = f"{Path(__file__).resolve().parents[1]}{os.pathsep}{inherited['PYTHONPATH']}"
        variables = inherited | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [
            self.python, "-c", f"import os; os.dup2({writing}, 3); from fuzz.worker import main; main()",
            self.name, str(self.seed), str(first), str(self.step), str(self.findings),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, pass_fds=[writing]
        )
        os.close(writing)
        os.set_blocking(reading, False)
        job = Job(process, reading, first)
        self.jobs.append(job)
        self.selector.register(reading, selectors.EVENT_READ, job)

    def read(self, job: Job) -> None:
        try:
            data = os.read(job.pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self.ended(job)
            return
        *lines, job.buffer = (job.buffer + data).split(b"\n")
        for line in lines:
            self.note(job, json.loads(line))

    def note(self, job: Job, message: dict[str, Any]) -> None:
        if "start" in message:
            self.started = self.started or time.monotonic()
            job.index, job.case_bytes, job.cpu_at_start = message["start"], message["bytes"], message["cpu"]
            job.wall_at_start, job.base_bytes, job.minimising = time.monotonic(), 0, False
            self.last_index = max(self.last_index, job.index or 0)
        elif "end" in message:
            self.outcomes[message["outcome"]] += 1
            job.first = message["end"] + self.step
            job.index = None
        elif "minimise" in message:
            job.minimising, job.wall_at_start = True, time.monotonic()
        elif "finding" in message:
            self.add(message["finding"])

    def add(self, finding: dict[str, Any]) -> None:
        if finding["signature"] not in self.found:
            self.found[finding["signature"]] = finding
            print(f"FINDING {finding['kind']} (case {finding['index']}): {finding['what']}", flush=True)
            where = finding["signature"].rpartition("File ")[2]
            print(f"    {where}\n    {self.findings / self.name / _digest(finding['signature'])}", flush=True)

    def check(self, job: Job) -> None:
        """End a worker whose case takes too much of anything."""
        pid, wall = job.process.pid, time.monotonic() - job.wall_at_start
        if job.index is None:
            if wall > START_S + STUCK_S:
                self.stop(job, "hang", f"nothing for {wall:.0f} s")
            return
        resident = memory_bytes("VmRSS", pid)
        job.base_bytes = job.base_bytes or resident
        used = cpu_seconds(pid) - job.cpu_at_start
        if used > HANG_S + 3:
            self.stop(job, "hang", f"more than {used:.0f} s of processor time, deaf to signals")
        elif wall > STUCK_S:
            self.stop(job, "hang", f"{wall:.0f} s without an end")
        elif resident > max(KILL_MEMORY_BYTES, job.base_bytes + MEMORY_BYTES + MEMORY_FACTOR * job.case_bytes):
            self.stop(job, "memory", f"{resident >> 20} MiB for {job.case_bytes} bytes")

    def stop(self, job: Job, kind: str, what: str) -> None:
        job.process.kill()
        self.ended(job, kind, what)

    def ended(self, job: Job, kind: str = "crash", what: str = "") -> None:
        """A worker has ended, which none does by itself: its case is a finding, and another goes on behind it."""
        status = job.process.wait()
        self.selector.unregister(job.pipe)
        os.close(job.pipe)
        self.jobs.remove(job)
        index = job.index if job.index is not None else job.first - self.step if job.minimising else None
        if index is None:
            log = (self.findings / f"{self.name}-{job.first % self.step}.log").read_text(errors="replace")
            sys.exit(f"the worker ended with status {status} outside of any case:\n{log[-3000:]}")
        self.outcomes["finding"] += 1
        log = (self.findings / f"{self.name}-{job.first % self.step}.log").read_text(errors="replace")
        place = _place(log) if kind == "crash" else ""
        finding = {
            "kind": kind, "what": what or f"the process ended with status {status}", "target": self.name,
            "seed": self.seed, "index": index, "trace": log[-3000:] if kind == "crash" else "",
            "signature": f"{kind} {status if kind == 'crash' else index} {place}",
        }  # fmt: skip
        if finding["signature"] not in self.found:
            self.keep(finding, index)
        self.add(finding)
        self.start(index + self.step)

    def keep(self, finding: dict[str, Any], index: int) -> None:
        """Save a finding with its files, or without where only the worker's Python can make them from the seed."""
        folder = self.findings / self.name / _digest(finding["signature"])
        try:
            case = case_of(target_named(self.name), self.seed, index)
        except ModuleNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "finding.json").write_text(json.dumps(finding, indent=1))
        else:
            save(folder, case, finding)


def _place(log: str) -> str:
    """The innermost line of edgec in what faulthandler wrote of a crash, else the innermost line."""
    lines = [line.strip() for line in log.rpartition("most recent call first")[2].splitlines() if "File " in line]
    own = [line for line in lines if "/edgec/" in line]
    return (own or lines or [""])[0]


def replay(folder: Path, name: str) -> int:
    """Run a kept finding in this process, for a debugger; 1 where it is still one."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        runner = Runner(target_named(name), Path(work))
        outcome, finding = runner.run(load_saved(folder))
    print(outcome, json.dumps(finding, indent=1).replace("\\n", "\n") if finding else "")
    return int(finding is not None)


def main() -> None:
    """Fuzz, or replay a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default 1)")
    parser.add_argument("--python", default=sys.executable, help="interpreter for the workers (torch, TensorFlow)")
    parser.add_argument("--findings", type=Path, default=WORK / "fuzz")
    parser.add_argument("--replay", type=Path, help="folder of a finding: run it once in this process")
    parser.add_argument("--json", action="store_true", help="print the tally as JSON on the last line")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        sys.exit(replay(arguments.replay, arguments.target))
    fuzzing = Fuzzing(arguments)
    fuzzing.run(arguments.seconds)
    seconds, executions = time.monotonic() - (fuzzing.started or 0.0), sum(fuzzing.outcomes.values())
    tally = {
        "target": arguments.target, "seed": arguments.seed, "seconds": round(seconds, 1), "executions": executions,
        **{key: fuzzing.outcomes[key] for key in ("accepted", "refused")}, "findings": len(fuzzing.found),
    }  # fmt: skip
    print(json.dumps(tally) if arguments.json else ", ".join(f"{k} {v}" for k, v in tally.items()))
    sys.exit(1 if fuzzing.found else 0)


if __name__ == "__main__":
    main()
