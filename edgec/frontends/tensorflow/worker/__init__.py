"""Loads a TensorFlow or Keras model, converts it to a float `.tflite` and runs it; a package for another interpreter.

It imports the standard library, numpy and TensorFlow only, never edgec, which is on no search path there: `__main__`
loads the package by its folder, and its modules name each other relatively. Requests come as lines of JSON on standard
input, each is answered by one line on standard output: `{"error": …}` or what was asked for. What TensorFlow itself
prints goes to standard error.
"""
