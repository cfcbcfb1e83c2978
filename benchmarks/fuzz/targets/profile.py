"""Device profiles, targets and budgets: TOML that a user writes or is given."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from fuzz.case import Case
from fuzz.mutate import mutate_text

BUDGETS = (
    "latency=30ms,ram=256KiB,flash=1MiB,energy=5mJ,accuracy-drop=1%",
    'latency = "30 ms"\nram = "256 KiB"\nflash = "1 MiB"\naccuracy-drop = "1 %"\n',
    "[budget]\nlatency_ms = 30\nram_bytes = 1000\n",
)
KINDS = {"device.toml": "device", "target.toml": "target", "budget.toml": "budget", "budget.txt": "budget text"}


@cache
def corpus() -> dict[str, tuple[str, ...]]:
    """The shipped profiles and targets, with what they inherit from written out by name."""
    from edgec.target.load import data_folder

    devices = tuple(p.read_text() for p in sorted(data_folder("device_profiles").rglob("*.toml")))
    targets = tuple(p.read_text() for p in sorted(data_folder("targets").rglob("*.toml")))
    return {"device.toml": devices, "target.toml": targets, "budget.toml": BUDGETS, "budget.txt": BUDGETS}


class ProfileTarget:
    """`load_device`, `load_target`, `load_budget` and `parse_budget`."""

    name = "profile"

    def make(self, random: Random) -> Case:
        """A new case."""
        main = random.choice(("device.toml", "device.toml", "target.toml", "budget.toml", "budget.txt"))
        texts = corpus()[main]
        words = (
            "device.toml",
            "nrf5340",
            "mcu-int8",
            "inherits",
            "inf",
            "nan",
            "1e400",
            "[[",
            "]]",
            "'''",
            "2020-01-01",
        )
        text = mutate_text(random, random.choice(texts), texts, words)
        files = {main: text.encode("utf-8", "surrogatepass")}
        if main == "device.toml" and random.random() < 0.2:  # a chain of profiles, perhaps a circle
            files["other.toml"] = files[main]
            goal = random.choice(("other.toml", "device.toml", "../bait/secret.bin", "missing.toml", "."))
            files[main] = f'inherits = "{goal}"\n'.encode() + files[main]
        return Case(main, files, mode=KINDS[main])

    def run(self, path: Path, case: Case) -> None:
        """Load the file as its name says."""
        from edgec.errors import ProfileError
        from edgec.target.budget import load_budget, parse_budget
        from edgec.target.load import load_device, load_target

        if case.mode == "device":
            load_device(path)
        elif case.mode == "target":
            load_target(path)
        elif case.mode == "budget":
            load_budget(path)
        else:
            try:
                text = path.read_text("utf-8")
            except UnicodeDecodeError as error:
                raise ProfileError("no UTF-8") from error
            parse_budget(text)
