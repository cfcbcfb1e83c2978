"""The fuzz targets by name; a target's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from fuzz.case import Target

TARGETS = {
    "onnx": "fuzz.targets.onnx_model:OnnxTarget",
    "onnx-external": "fuzz.targets.onnx_external:ExternalDataTarget",
    "onnx-compile": "fuzz.targets.onnx_model:OnnxCompileTarget",
    "tflite": "fuzz.targets.tflite:TfliteTarget",
    "tflite-compile": "fuzz.targets.tflite:TfliteCompileTarget",
    "text": "fuzz.targets.text:TextTarget",
    "profile": "fuzz.targets.profile:ProfileTarget",
    "samples": "fuzz.targets.samples:SamplesTarget",
    "pt2-archive": "fuzz.targets.pt2:ArchiveTarget",
    "pt2": "fuzz.targets.pt2:LoadTarget",
    "tensorflow": "fuzz.targets.tensorflow:TensorflowTarget",
}


def target_named(name: str) -> Target:
    """The target of that name; its corpus is made now."""
    module, _, attribute = TARGETS[name].partition(":")
    target: Target = getattr(import_module(module), attribute)()
    return target
