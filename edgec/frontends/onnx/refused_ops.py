"""Ops of ai.onnx that are never translated, and why."""

from __future__ import annotations

from collections.abc import Mapping

_STRINGS = "TFLite's kernels compute nothing on strings"
_RANDOM = "a compiled model gives the same result for the same input; random numbers have no place in it"
REFUSED: Mapping[str, str] = {
    "StringConcat": _STRINGS, "StringNormalizer": _STRINGS, "StringSplit": _STRINGS, "RegexFullMatch": _STRINGS,
    "TfIdfVectorizer": _STRINGS, "ImageDecoder": "compressed images are decoded before the model",
    "Bernoulli": _RANDOM, "Multinomial": _RANDOM, "RandomNormal": _RANDOM, "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM, "RandomUniformLike": _RANDOM,
    "MelWeightMatrix": "its size follows from numbers that are only known at run time",
}  # fmt: skip
