"""The command line: `edgec COMMAND`; each command has a file of its own."""

from edgec.cli.app import main

__all__ = ["main"]
