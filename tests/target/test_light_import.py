import subprocess
import sys


def test_importing_the_package_does_not_load_pydantic() -> None:
    code = "import sys, edgec.target; print('pydantic' in sys.modules, edgec.target.load_target.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False load_target\n"
