"""The command line: exit statuses, what stands on which stream, and one sentence for every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGITS = str(ROOT / "examples" / "digits.onnx")
CALIBRATION = str(ROOT / "calibration" / "digits.toml")


def edgec(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from edgec.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=text, timeout=120, check=False)


def test_json_is_the_only_thing_on_standard_output(tmp_path: Path) -> None:
    done = edgec("compile", DIGITS, "-d", "rpi4", "--scheme", "fp32", "--json", "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "edgec.report/1"
    assert done.stderr == ""
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(done.stdout)


def test_a_missed_budget_is_status_1_and_everything_is_written(tmp_path: Path) -> None:
    done = edgec("compile", DIGITS, "-d", "rpi4", "--scheme", "fp32", "-b", "flash=1KiB", "-o", str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "misses" in done.stdout
    assert (tmp_path / "model.tflite").stat().st_size > 1024


def test_strict_makes_an_uncertain_line_status_1(tmp_path: Path) -> None:
    measured = edgec("fit", DIGITS, "-d", "rpi4", "--json")
    latency_ms = json.loads(measured.stdout)["latency"]["ms"]
    arguments = ("fit", DIGITS, "-d", "rpi4", "-b", f"latency={latency_ms:.9f}ms")
    assert edgec(*arguments).returncode == 0
    assert edgec(*arguments, "--strict").returncode == 1


MISTAKES = {
    "no such file": (
        ("compile", "nowhere.onnx", "-d", "rpi4"),
        "Reading 'nowhere.onnx': there is no such file; give ",
    ),
    "static without samples": (
        ("compile", DIGITS, "-d", "rpi4", "--scheme", "w8a8"),
        "Quantizing to w8a8: it fixes activation ranges ahead of time and needs real samples to find them; give some "
        "with --calibration MANIFEST, an .npz or .npy file, or a folder of images.",
    ),
    "refused scheme": (
        ("compile", DIGITS, "-d", "stm32l4r5", "--scheme", "w8"),
        "Choosing the scheme: scheme w8 is refused for target mcu-int8: TFLM refuses hybrid models (float activations "
        "with int8 weights); use w8a8.",
    ),
    "unknown scheme": (
        ("compile", DIGITS, "-d", "rpi4", "--scheme", "int8"),
        "Choosing the scheme: scheme int8 is refused for target raspberry-pi: the target does not list it; use ",
    ),
    "bad ratio": (
        ("compile", DIGITS, "-d", "rpi4", "--prune", "much"),
        "Pruning by 'much': give a ratio between 0 and 1, or 'auto'.",
    ),
    "auto without budget": (
        ("compile", DIGITS, "-d", "rpi4", "--prune", "auto"),
        "Pruning 'auto' removes as much as the budget needs, and there is none: give --budget.",
    ),
    "bad shape": (
        ("compile", DIGITS, "-d", "rpi4", "--shape", "x"),
        "Reading --shape 'x': write it as NAME=1,224,224,3, the input's name and a size for each of its dimensions.",
    ),
    "two budgets": (
        ("compile", DIGITS, "-d", "rpi4", "-b", "ram=1KiB", "--budget-file", "b.toml"),
        "Reading the budget: --budget and --budget-file are both given; keep one.",
    ),
    "bench of no artifact": (("bench", DIGITS), "Reading 'digits.onnx': "),
    "unknown pass": (("opt", "-", "--passes", "nonsense"), "There is no pass 'nonsense'; the passes are "),
    "unknown range method": (
        ("compile", DIGITS, "-d", "stm32l4r5", "--calibration", CALIBRATION, "--calibration-method", "best"),
        "Choosing activation ranges: range method is 'best'; it should be minmax, percentile or mse.",
    ),
    "unknown range method without samples": (
        ("compile", DIGITS, "-d", "rpi4", "--calibration-method", "best"),
        "Choosing activation ranges: range method is 'best'; it should be minmax, percentile or mse.",
    ),
    "unknown kernel library": (
        ("fit", DIGITS, "-d", "rpi4", "--kernel-library", "fast"),
        "Pricing on rpi4: its profile has no kernel library 'fast'; it has xnnpack.",
    ),
    "output is a file": (
        ("fit", DIGITS, "-d", "rpi4", "-o", f"{DIGITS}/out"),
        f"Choosing the output folder '{DIGITS}/out': '{DIGITS}' is a file; choose another with -o.",
    ),
    "unknown device": (("compile", DIGITS, "-d", "rpi44"), ""),
    "no manifest": (("compile", DIGITS, "-d", "stm32l4r5", "--calibration", "gone.toml"), ""),
}


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES.values(), ids=MISTAKES.keys())
def test_every_mistake_is_one_sentence_and_status_2(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    output = ("-o", str(tmp_path / "out")) if arguments[0] == "compile" else ()
    done = edgec(*arguments, *output, text="graph @main(%x: float32[1]) {\n return %x\n}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_opt_runs_passes_on_the_text_form() -> None:
    text = "graph @main(%x: float32[4]) {\n %y = relu(%x) : float32[4]\n %z = tanh(%x) : float32[4]\n return %z\n}"
    done = edgec("opt", "-", "--passes", "eliminate_dead_code", text=text)
    assert done.returncode == 0, done.stderr
    assert "relu" not in done.stdout
    assert "%z = tanh(%x) : float32[4]" in done.stdout


@pytest.mark.parametrize("command", ["devices", "targets", "ops", "passes"])
def test_lists_are_json_on_demand(command: str) -> None:
    done = edgec(command, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) >= 3


def test_a_device_is_explained_with_its_evidence() -> None:
    done = edgec("devices", "rpi4")
    assert "cpu.clock_hz = 1500000000  [derived]" in done.stdout


def test_inspect_prints_the_text_form() -> None:
    done = edgec("inspect", DIGITS, "--ir")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('module "digits" {')


@pytest.mark.parametrize("command", ["compile", "fit", "inspect", "bench", "compare", "opt"])
def test_help_shows_an_example(command: str) -> None:
    done = edgec(command, "--help")
    assert done.returncode == 0
    assert f"edgec {command} " in done.stdout
