"""The TensorFlow and Keras front end, and onnx2tf's: both run in another process, often in another environment.

`importer` has a model converted to a float `.tflite` and runs it as the source runtime, `onnx2tf` asks that program for
its translation of an ONNX file, `process` keeps the other process in check. `worker` is the package that runs
there: it never imports edgec, and edgec never imports it. What comes back are bytes of a `.tflite`, for the front end
of those.
"""

from edgec.frontends.tensorflow.importer import TensorflowImport, convert_tensorflow, kind_of
from edgec.frontends.tensorflow.onnx2tf import Onnx2tfImport, convert_onnx2tf

__all__ = ["Onnx2tfImport", "TensorflowImport", "convert_onnx2tf", "convert_tensorflow", "kind_of"]
