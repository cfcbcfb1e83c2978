"""What one execution reads: some files in a folder of its own, and how a target turns them into a verdict."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol


@dataclass(frozen=True)
class Case:
    """Input files by their path below the model's folder, links by theirs, and the file that is read.

    `mode` is what is done with it: a target's own word, such as `import` or `compile`.
    """

    main: str
    files: dict[str, bytes]
    links: dict[str, str] = field(default_factory=dict)
    mode: str = "import"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(map(len, self.files.values()))

    def with_main(self, data: bytes) -> Case:
        """The same case with other bytes in its main file."""
        return replace(self, files={**self.files, self.main: data})

    def write(self, folder: Path) -> Path:
        """Write the files into `folder`, which is emptied first; gives the path of the main file."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name, goal in self.links.items():
            path = folder / name
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(goal)
        return folder / self.main


class Target(Protocol):
    """One parser. A case is made from a source of randomness and nothing else: the same seed gives the same case."""

    name: str

    def make(self, random: Random) -> Case:
        """A new case."""

    def run(self, path: Path, case: Case) -> None:
        """Read the case as edgec does; raises EdgecError where it is refused, anything else is a finding."""
