"""Sees what a process does beside parsing: the files it opens, the memory it takes, the programs it starts.

Python's audit hook sees what Python opens. What C++ code opens shows itself on the bait: files that no case may reach,
watched by inotify.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

_IN_OPEN, _IN_ACCESS, _IN_NONBLOCK = 0x20, 0x1, 0x800
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.bind", "urllib.Request", "ftplib.")
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")


_watches: list[Watch] = []


def active_watch() -> Watch:
    """This process's watch."""
    return _watches[-1]


class Watch:
    """The files that one process opens while `active`; what lies outside of the allowed folders is remembered."""

    def __init__(self, folder: Path, bait: Path, allowed_programs: tuple[str, ...] = ()) -> None:
        """`folder` holds the cases; `bait` is a folder that nothing may look into."""
        self.active = False
        self.seen: list[str] = []
        self.folder = os.path.realpath(folder)
        self.bait = os.path.realpath(bait)
        self.temporary = os.path.join(os.path.realpath(tempfile.gettempdir()), "edgec-")
        self.programs = tuple(os.path.realpath(p) for p in (sys.executable, *allowed_programs))
        self.readable = tuple(os.path.realpath(p) for p in _readable())
        self._inotify = _bait_watch(bait)
        sys.addaudithook(self._hook)
        _watches.append(self)

    def found(self) -> list[str]:
        """What was seen since the last call."""
        seen, self.seen = self.seen, []
        return seen + _bait_events(self._inotify)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            self._opened(*arguments)
        elif event == "subprocess.Popen":
            program = os.path.realpath(os.fsdecode(arguments[0] or arguments[1][0]))
            if program not in self.programs:
                self.seen.append(f"started {program}")
        elif event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event in _CHANGES and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.path.realpath(os.path.join(_base(arguments), os.fsdecode(arguments[0])))
            if not path.startswith(self.temporary):
                self.seen.append(f"{event} {path}")

    def _opened(self, path: Any, mode: Any, flags: int) -> None:
        if isinstance(path, int) or path is None:
            return
        real = os.path.realpath(os.fsdecode(path))
        if real.startswith(self.temporary) or real in ("/dev/null", os.path.dirname(self.temporary)):
            return
        writes = bool(flags & _WRITING)
        inside = real.startswith(self.folder + os.sep)
        if writes or not (inside or real.startswith(self.readable)):
            self.seen.append(f"{'wrote' if writes else 'opened'} {real}")


def _base(arguments: tuple[Any, ...]) -> str:
    """The folder that a relative path stands in: that of the last argument, a descriptor, where there is one."""
    descriptor = arguments[-1]
    if isinstance(descriptor, int) and descriptor > 2:
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            return "/unknown"
    return os.getcwd()


def _readable() -> list[str]:
    """Where Python, its packages, edgec and the system's own tables live."""
    import edgec

    package = Path(edgec.__file__).resolve().parent
    system = [
        sys.pycache_prefix or "/proc",
        "/proc",
        "/sys",
        "/etc/localtime",
        "/usr/share",
        "/usr/lib",
        "/lib",
        "/etc/ld.so.cache",
    ]
    beside = [package, *(package.parent / name for name in ("targets", "device_profiles", "benchmarks"))]
    return [sys.prefix, sys.base_prefix, sys.pycache_prefix or sys.prefix, *map(str, beside), *sys.path[1:], *system]


def _bait_watch(bait: Path) -> int:
    """A descriptor of inotify for the bait, -1 where the system has no inotify."""
    if not sys.platform.startswith("linux"):
        return -1
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(_IN_NONBLOCK))
    for path in (bait, *bait.iterdir()):
        libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN | _IN_ACCESS)
    return descriptor


def _bait_events(descriptor: int) -> list[str]:
    try:
        data = os.read(descriptor, 65536) if descriptor >= 0 else b""
    except BlockingIOError:
        return []
    masks, at = [], 0
    while at + 16 <= len(data):
        _, mask, _, length = struct.unpack_from("<iIII", data, at)
        masks.append("opened" if mask & _IN_OPEN else "read")
        at += 16 + length
    return [f"the bait was {' and '.join(dict.fromkeys(masks))}"] if masks else []


def reset_peak() -> None:
    """Start the peak of resident memory anew (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def memory_bytes(field: str, pid: int | str = "self") -> int:
    """`VmRSS` or `VmHWM` of a process, 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, without its children, 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
