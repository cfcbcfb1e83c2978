"""How attribute values and constants are written in the text form: JSON, with tagged objects for what JSON lacks."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json(value: Any) -> Any:
    """An attribute value as a JSON tree; tuples become lists, bytes, arrays and non-finite floats tagged objects."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return {"$array": [value.dtype.str, list(value.shape), base64.b64encode(value.tobytes()).decode()]}
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    return value


def from_json(tree: Any) -> Any:
    """The value behind a JSON tree; lists become tuples."""
    if isinstance(tree, list):
        return tuple(from_json(v) for v in tree)
    if not isinstance(tree, dict):
        return tree
    if "$bytes" in tree:
        return base64.b64decode(tree["$bytes"], validate=True)
    if "$float" in tree:
        return float(tree["$float"])
    if "$array" in tree:
        dtype, shape, data = tree["$array"]
        return np.frombuffer(base64.b64decode(data, validate=True), np.dtype(dtype)).reshape(shape)
    return {k: from_json(v) for k, v in tree.items()}
