from pathlib import Path

import pytest
from pydantic import ValidationError

from edgec.errors import ProfileError
from edgec.ir.dtype import DType
from edgec.target import load as load_module
from edgec.target.load import list_devices, list_targets, load_device, load_target

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = [
    "esp32s3",
    "host",
    "nrf5340",
    "pixel2",
    "pixel3",
    "pixel4",
    "rp2040",
    "rpi3b+",
    "rpi4",
    "rpi5",
    "rpi_zero2w",
    "stm32f746",
    "stm32h743",
    "stm32h747",
    "stm32l4r5",
    "stm32u585",
]
PASSES = [
    "expand_sparse",
    "convert_uint8_to_int8",
    "fold_constants",
    "eliminate_dead_code",
    "eliminate_identity",
    "canonicalize_reshape",
    "canonicalize_movement",
    "set_list_entry",
    "eliminate_common_subexpressions",
    "fix_batch",
    "canonicalize_activation",
    "canonicalize_fully_connected",
    "fuse_mul_add_into_depthwise",
    "replace_float_ops",
    "prune_channels",
    "quantize",
    "crop_before_window",
    "fold_mul_add_into_weights",
    "fuse_activation",
    "fuse_pad_into_conv",
    "canonicalize_mean_pool",
    "move_transposes",
    "route_channels",
    "eliminate_dead_channels",
    "legalize",
]

OWN_DEVICE = """
name = "mine"
title = "My board"
target = "mcu-int8"
default_kernel_library = "cmsis-nn"
sram_bytes = 65536
flash_bytes = 524288

[cpu]
model = "chip"
core = "Cortex-M4F"
cores = 1
threads = 1
clock_hz = 80_000_000

[kernel_libraries.cmsis-nn.int8]
cycles_per_mac = { pointwise = 5, conv = 5, first_conv = 6, depthwise = 9, fully_connected = 4 }
cycles_per_output_element = 30
cycles_per_op = 3000
band = { low = 0.5, high = 2.0 }
kind = "derived"
source = "guess"
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ProfileError) as caught:
        load_device(path)
    return str(caught.value)


def test_lists() -> None:
    assert list_devices() == sorted(NAMES)
    assert list_targets() == ["mcu-int8", "mobile-cpu", "raspberry-pi"]


@pytest.mark.parametrize("name", NAMES)
def test_every_device_loads_with_sources_for_its_facts(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert device.target == load_target(device.target_name)
    unsourced = [fact for fact in device.facts() if device.evidence_for(fact).kind == "unknown"]
    assert unsourced == []
    if name == "host":
        assert device.latency_basis == "executed"
        assert device.cpu.clock_hz is None
        return
    for dtype in device.target.compute_dtype.values():
        assert device.costs(dtype) is not None
        assert device.costs(dtype, "no-such-library") is None
    for dtype, peak in device.cpu.macs_per_cycle.items():
        costs = device.costs(dtype)
        assert costs is None or 1 / costs.cycles_per_mac.pointwise <= peak, "faster than the core can multiply"


@pytest.mark.parametrize("name", ["mcu-int8", "mobile-cpu", "raspberry-pi"])
def test_every_target_loads_and_names_known_passes_with_reasons(name: str) -> None:
    target = load_target(name)
    steps = target.pipeline.passes
    assert {step.name for step in steps} == set(PASSES)
    assert steps[-1].name == "legalize"
    assert all(step.reason for step in steps)


def test_pi_inherits_everything_but_its_name() -> None:
    phone, board = load_target("mobile-cpu"), load_target("raspberry-pi")
    assert board.model_dump(exclude={"name", "summary"}) == phone.model_dump(exclude={"name", "summary"})
    assert (board.name, phone.name) == ("raspberry-pi", "mobile-cpu")


def test_target_answers_questions() -> None:
    mcu, phone = load_target("mcu-int8"), load_target("mobile-cpu")
    assert mcu.supports("conv_2d", DType.INT8)
    assert mcu.supports("conv_2d", "int16")
    assert mcu.supports("quantize", "uint8")
    assert phone.supports("gelu", DType.FLOAT32)
    assert mcu.refusal("gelu") == "gelu does not run on target mcu-int8: tflm registers no such kernel"
    assert mcu.refusal("hard_swish", DType.INT16) == (
        "hard_swish with int16 does not run on target mcu-int8: its kernel takes float32, int8"
    )
    assert mcu.refusal("conv_2d", "uint8") == (
        "conv_2d with uint8 does not run on target mcu-int8: TFLM's arithmetic kernels refuse the old unsigned "
        "scheme; edgec compile turns the model into int8"
    )
    assert mcu.scheme_refusal("w8") == (
        "scheme w8 is refused for target mcu-int8: TFLM refuses hybrid models (float activations with int8 weights); "
        "use w8a8"
    )
    assert mcu.scheme_refusal("w8a8") is None
    assert mcu.io_dtype["w8a8"].inputs == ("int8",)


def test_profiles_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_device("rpi4").name = "other"  # type: ignore[misc]  # the point of the test


def test_one_file_adds_a_device(tmp_path: Path) -> None:
    path = write(tmp_path, OWN_DEVICE)
    for given in (path, str(path)):
        device = load_device(given)
        assert (device.name, device.target_name, device.target.runtime) == ("mine", "mcu-int8", "tflm")
        assert device.power is None
        costs = device.costs("int8")
        assert costs is not None
        assert costs.cycles_per_mac.depthwise == 9


def test_extends_a_built_in_device(tmp_path: Path) -> None:
    text = 'name = "hot"\ntitle = "Overclocked Pi"\nextends = "rpi4"\n[cpu]\nclock_hz = 2_000_000_000\n'
    device = load_device(write(tmp_path, text))
    pi = load_device("rpi4")
    assert device.cpu.clock_hz == 2_000_000_000
    assert device.cpu.model_copy(update={"clock_hz": pi.cpu.clock_hz}) == pi.cpu
    assert (device.name, device.kernel_libraries) == ("hot", pi.kernel_libraries)


def test_own_target_beside_the_device(tmp_path: Path) -> None:
    text = 'extends = "mobile-cpu"\nname = "npu"\nsummary = "s"\n[deny]\nelu = "the chip lacks it"\n'
    write(tmp_path, text, "npu.toml")
    device = load_device(write(tmp_path, OWN_DEVICE.replace('"mcu-int8"', '"npu.toml"')))
    assert device.target.refusal("elu") == "elu does not run on target npu: the chip lacks it"


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        (
            "sram_bytes",
            "sram_byte",
            "unknown key 'sram_byte' (did you mean 'sram_bytes'?); allowed keys are caches, cpu, "
            "default_kernel_library, dram_bandwidth_bytes_per_s, evidence, extends, flash_bytes, gaps, "
            "kernel_libraries, latency_basis, name, power, runtime_floor, sram_bytes, target, title",
        ),
        (
            "clock_hz",
            "clok_hz",
            "unknown key 'cpu.clok_hz' (did you mean 'clock_hz'?); allowed keys are clock_hz, core, cores, "
            "macs_per_cycle, model, simd, threads",
        ),
        (
            "first_conv = 6",
            "second_conv = 6",
            "key 'kernel_libraries.cmsis-nn.int8.cycles_per_mac.first_conv' is missing; add it (1 more after that)",
        ),
        ('title = "My board"\n', "", "key 'title' is missing; add it"),
        (
            '"derived"',
            '"measured"',
            "key 'kernel_libraries.cmsis-nn.int8.kind' is 'measured'; allowed values are "
            "'executed', 'planned', 'calibrated', 'derived', 'unknown'",
        ),
        ("80_000_000", '"80 MHz"', "key 'cpu.clock_hz' is '80 MHz'; it should be a valid integer"),
        ("cores = 1", "cores = true", "key 'cpu.cores' is True; it should be a valid integer"),
        ("65536", "-1", "key 'sram_bytes' is -1; it should be greater than 0"),
        (
            "cycles_per_op = 3000",
            "cycles_per_op = nan",
            "key 'kernel_libraries.cmsis-nn.int8.cycles_per_op' is nan; it should be a finite number",
        ),
        (
            "low = 0.5",
            "low = 1.5",
            "key 'kernel_libraries.cmsis-nn.int8.band.low' is 1.5; it should be less than or equal to 1",
        ),
        (
            "clock_hz = 80_000_000\n",
            "",
            "key 'cpu.clock_hz' is missing; a roofline needs it (or set latency_basis = \"executed\")",
        ),
        (
            'library = "cmsis-nn"',
            'library = "cmsis"',
            "key 'default_kernel_library' is 'cmsis'; it should be one of the tables under kernel_libraries: cmsis-nn",
        ),
        (
            "[cpu]",
            '[evidence]\nsram_byte = {kind = "derived", source = "x"}\n[cpu]',
            "key 'evidence.sram_byte' names no fact "
            "of this profile (did you mean 'sram_bytes'?); facts are cpu, cpu.clock_hz, cpu.core, "
            "cpu.cores, cpu.model, "
            "cpu.threads, flash_bytes, sram_bytes",
        ),
        (
            "[cpu]",
            '[power]\nactive_mw = 5\nactive_low_mw = 6\nactive_high_mw = 7\nsupply = "x"\n[cpu]',
            "key 'power': active_low_mw 6, active_mw 5, active_high_mw 7 are out of order; low <= active <= high is "
            "needed",
        ),
        ('"mcu-int8"', "7", "key 'target' is 7; it should name one of mcu-int8, mobile-cpu, raspberry-pi"),
        (
            '"mcu-int8"',
            '"mcu-int9"',
            "key 'target': unknown target 'mcu-int9' (did you mean 'mcu-int8'?); known are "
            "mcu-int8, mobile-cpu, raspberry-pi, or give a .toml file",
        ),
        ('name = "mine"', 'resolved_target = "x"', "unknown key 'resolved_target' (did you mean 'target'?); remove it"),
        (
            'name = "mine"',
            'extends = "_cores/cortex-m5"',
            "key 'extends' is '_cores/cortex-m5' (did you mean "
            f"'_cores/cortex-m7'?); known are _cores/cortex-a53, _cores/cortex-a72, _cores/cortex-a73, "
            "_cores/cortex-a75, "
            "_cores/cortex-a76, _cores/cortex-m0plus, _cores/cortex-m33, _cores/cortex-m4, _cores/cortex-m7, "
            f"_cores/xtensa-lx7, {', '.join(NAMES)}, or give a .toml file",
        ),
        ('name = "mine"', "extends = 3", "key 'extends' is 3; it should be a name or a .toml path"),
        ('name = "mine"', 'extends = "mine"', "key 'extends' runs in a circle: mine -> mine; remove one of them"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, old: str, new: str, rest: str) -> None:
    assert OWN_DEVICE.count(old) >= 1
    path = write(tmp_path, OWN_DEVICE.replace(old, new, 1))
    assert refusal(path) == f"{path}: {rest}"


def test_unknown_name() -> None:
    with pytest.raises(ProfileError) as caught:
        load_device("rpi44")
    assert str(caught.value) == (
        f"unknown device 'rpi44' (did you mean 'rpi4'?); known are {', '.join(NAMES)}, or give a .toml file"
    )


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(ProfileError) as caught:
        load_target("no/such.toml")
    assert str(caught.value) == (
        "reading target 'no/such.toml': there is no such file; give a .toml file or a name: "
        "mcu-int8, mobile-cpu, raspberry-pi"
    )


def test_broken_and_oversized_files(tmp_path: Path) -> None:
    broken = write(tmp_path, "a = [", "broken.toml")
    assert refusal(broken) == f"reading {broken}: not valid TOML: Invalid value (at end of document)"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path / "binary.toml").startswith(f"reading {tmp_path / 'binary.toml'}: not valid TOML: ")
    deep = write(tmp_path, "a = " + "[" * 100_000, "deep.toml")
    assert refusal(deep).startswith(f"reading {deep}: not valid TOML: ")
    large = write(tmp_path, "#" * (1 << 21), "large.toml")
    assert refusal(large) == f"reading {large}: larger than 1048576 bytes; a profile is far smaller"


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        ('ops = "all"', 'ops = "most"', "key 'ops' is 'most'; it should be \"all\" or a table of op = [dtypes]"),
        (
            'default_scheme = "fp32"',
            'default_scheme = "w8a16"',
            "key 'default_scheme' is 'w8a16'; it should be one of schemes: fp16, fp32, w8, w8a8",
        ),
        (
            "[refused_schemes]",
            '[refused_schemes]\nw8 = "no"',
            "scheme w8 stands in both 'schemes' and 'refused_schemes'; keep one",
        ),
        (', w8a8 = "int8" }', " }", "key 'compute_dtype' has no entry for scheme w8a8; add one for each scheme"),
        ("reason = ", "because = ", "key 'pipeline.pass[0].reason' is missing; add it (1 more after that)"),
    ],
)
def test_target_mistakes(tmp_path: Path, old: str, new: str, rest: str) -> None:
    text = (REPOSITORY / "targets" / "mobile-cpu.toml").read_text()
    assert old in text
    path = write(tmp_path, text.replace(old, new, 1))
    with pytest.raises(ProfileError) as caught:
        load_target(path)
    assert str(caught.value) == f"{path}: {rest}"


def test_wheel_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "edgec"
    installed = package / "data_files" / "targets"
    installed.mkdir(parents=True)
    (installed / "only.toml").write_text((REPOSITORY / "targets" / "mcu-int8.toml").read_text())
    stray = tmp_path / "site-packages" / "targets"  # some other package's folder must not be taken for ours
    stray.mkdir()
    monkeypatch.setattr(load_module, "PACKAGE_ROOT", package)
    assert list_targets() == ["only"]
    assert load_target("only").runtime == "tflm"
    with pytest.raises(ProfileError) as caught:
        list_devices()
    assert str(caught.value) == (
        f"looking for device_profiles: neither {tmp_path / 'site-packages' / 'device_profiles'} nor "
        f"{package / 'data_files' / 'device_profiles'} exists; reinstall edgec"
    )


def test_checkout_wins_where_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "device_profiles").mkdir()
    write(tmp_path / "device_profiles", OWN_DEVICE)
    write(tmp_path / "device_profiles", OWN_DEVICE, "_hidden.toml")
    monkeypatch.setattr(load_module, "PACKAGE_ROOT", tmp_path / "edgec")
    assert list_devices() == ["mine"]
