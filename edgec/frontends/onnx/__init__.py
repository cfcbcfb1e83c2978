"""The ONNX front end: a native translator into TFLite's vocabulary, no TensorFlow involved.

`model_file` reads the file and its external data safely, `translation` walks the nodes, and each op family has a file
whose functions translate one ONNX op each.
"""

from edgec.frontends.onnx.importer import load_onnx, read_onnx

__all__ = ["load_onnx", "read_onnx"]
