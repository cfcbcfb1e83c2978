"""The TFLite FlatBuffer format."""

from edgec.backends.tflite.serialize import serialize

__all__ = ["serialize"]
