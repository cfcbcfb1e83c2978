"""Adapters to the runtimes that execute artifacts; nothing else in edgec touches an interpreter.

`litert` runs `.tflite` bytes as Linux-class devices do, `tflm` as microcontrollers do, `onnx_source` runs the source
model, `isolated` does either in a child process that may crash without taking the compiler with it, and `bench` times.
"""
