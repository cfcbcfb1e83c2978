"""Targets (what can run), device profiles (what it costs) and budgets (what is allowed).

Names are imported when first used, so that importing this package does not load pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgec.target.budget import Budget, BudgetLine, judge, load_budget, overall, parse_budget
    from edgec.target.device import Device
    from edgec.target.load import list_devices, list_targets, load_device, load_target
    from edgec.target.target import Target

__all__ = [
    "Budget",
    "BudgetLine",
    "Device",
    "Target",
    "judge",
    "list_devices",
    "list_targets",
    "load_budget",
    "load_device",
    "load_target",
    "overall",
    "parse_budget",
]

_HOME = {
    "budget": ("Budget", "BudgetLine", "judge", "load_budget", "overall", "parse_budget"),
    "device": ("Device",),
    "load": ("list_devices", "list_targets", "load_device", "load_target"),
    "target": ("Target",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"edgec.target.{module}"), name)
    raise AttributeError(f"module 'edgec.target' has no attribute '{name}'")
