"""The process that runs the cases of one target, one after the other, and says of each when it starts and ends."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzz.case import Case, Target
from fuzz.registry import target_named
from fuzz.watch import Watch, cpu_seconds, memory_bytes, reset_peak

HANG_S = 10.0  # of this process's processor time
MEMORY_BYTES, MEMORY_FACTOR = 1 << 30, 20
ADDRESS_SPACE_BYTES = 16 << 30
MINIMISE_S = 20.0


class Hang(BaseException):
    """A case took longer than allowed; no handler of the code under test may catch it."""


class Runner:
    """Runs cases of one target under watch; each gives an outcome and, where something is wrong, a description."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder / "model"
        bait = folder / "bait"
        bait.mkdir(parents=True)
        for name in ("secret.bin", "secret.h5"):
            (bait / name).write_bytes(bytes(range(256)) * 16)
        self.watch = Watch(self.folder, bait, getattr(target, "programs", ()))
        signal.signal(signal.SIGPROF, _hang)

    def run(self, case: Case) -> tuple[str, dict[str, Any] | None]:
        """(outcome, finding); outcomes are `accepted`, `refused` and `finding`."""
        from edgec.errors import EdgecError

        path = case.write(self.folder)
        before = memory_bytes("VmRSS")
        reset_peak()
        self.watch.found()
        outcome, finding = "accepted", None
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        self.watch.active = True
        try:
            self.target.run(path, case)
        except EdgecError as error:
            outcome = "refused"
            if not str(error) or len(str(error)) > 20_000:
                finding = {"kind": "message", "what": f"{type(error).__name__} of {len(str(error))} characters"}
        except Hang:
            finding = {"kind": "hang", "what": f"more than {HANG_S:g} s", "trace": traceback.format_exc()[-6000:]}
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            finding = {"kind": "exception", "what": text[:300], "trace": traceback.format_exc()[-6000:]}
        finally:
            self.watch.active = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        finding = finding or self._beside(case, before)
        if finding is not None:
            finding["signature"] = _signature(finding)
        return ("finding" if finding else outcome), finding

    def _beside(self, case: Case, before: int) -> dict[str, Any] | None:
        seen = self.watch.found()
        if seen:
            return {"kind": "access", "what": "; ".join(seen)[:600]}
        taken = memory_bytes("VmHWM") - before
        if taken > MEMORY_BYTES + MEMORY_FACTOR * case.bytes:
            return {"kind": "memory", "what": f"{taken >> 20} MiB for a file of {case.bytes} bytes"}
        return None


def _hang(signum: int, frame: object) -> None:
    raise Hang


def _signature(finding: dict[str, Any]) -> str:
    """The kind, the error and the innermost line of edgec: what tells one finding from another."""
    lines = [line.strip() for line in finding.get("trace", "").splitlines() if line.strip().startswith("File ")]
    own = [line for line in lines if "/edgec/" in line]
    where = (own or lines or [finding["what"][:60]])[-1]
    return f"{finding['kind']} {finding['what'].split(':')[0][:60]} {where}"


def minimised(runner: Runner, case: Case, signature: str) -> Case:
    """The case with as much of its main file cut away as leaves the finding what it is, within 20 seconds."""
    end = time.monotonic() + MINIMISE_S
    data = case.files.get(case.main, b"")
    span = max(len(data) // 2, 1)
    while span and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + span :]
            found = runner.run(case.with_main(shorter))[1]
            if found is not None and found["signature"] == signature:
                data = shorter
            else:
                at += span
        span //= 2
    return case.with_main(data)


def save(folder: Path, case: Case, finding: dict[str, Any]) -> None:
    """Keep a finding: the files, and how they came about."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in case.files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    about = {**finding, "main": case.main, "links": case.links, "mode": case.mode, "options": case.options}
    (folder / "finding.json").write_text(json.dumps(about, indent=1))


def load_saved(folder: Path) -> Case:
    """A case that `save` kept."""
    about = json.loads((folder / "finding.json").read_text())
    root = folder / "files"
    files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return Case(about["main"], files, about["links"], about["mode"], about["options"])


def case_of(target: Target, seed: int, index: int) -> Case:
    """The case with this number."""
    return target.make(Random(f"{target.name}:{seed}:{index}"))


def serve(
    name: str, seed: int, first: int, step: int, findings: Path, report: Callable[[dict[str, Any]], None]
) -> None:
    """Run cases `first`, `first + step`, … until this process is ended."""
    target = target_named(name)
    known: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        runner = Runner(target, Path(folder))
        index = first
        while True:
            case = case_of(target, seed, index)
            report({"start": index, "bytes": case.bytes, "cpu": cpu_seconds(os.getpid())})
            outcome, finding = runner.run(case)
            report({"end": index, "outcome": outcome})
            if finding is not None and finding["signature"] not in known:
                known.add(finding["signature"])
                finding |= {"target": name, "seed": seed, "index": index}
                small = case
                if finding["kind"] == "exception":
                    report({"minimise": index})
                    small = minimised(runner, case, finding["signature"])
                save(findings / name / _digest(finding["signature"]), small, finding)
                report({"finding": finding})
            index += step


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _limit_address_space() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def main() -> None:
    """Arguments: target, seed, first case, step, folder of findings; reports go to file descriptor 3."""
    name, seed, first, step, findings = sys.argv[1:]
    faulthandler.enable()  # a crash tells its place on standard error
    _limit_address_space()

    def report(message: dict[str, Any]) -> None:
        os.write(3, json.dumps(message).encode() + b"\n")

    serve(name, int(seed), int(first), int(step), Path(findings), report)


if __name__ == "__main__":
    main()
