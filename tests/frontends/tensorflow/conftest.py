"""Models written by the TensorFlow at hand, once for all tests of a process."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgec.frontends.tensorflow.process import environment


@pytest.fixture(scope="session")
def written(tf_python: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run `models_NAME.py` of this folder in that TensorFlow; the folder it filled."""
    folders: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            command = [tf_python, str(Path(__file__).with_name(f"models_{name}.py")), str(folders[name])]
            run = subprocess.run(command, capture_output=True, text=True, env=environment(tf_python))
            assert run.returncode == 0, run.stderr[-2000:]
        return folders[name]

    return write
