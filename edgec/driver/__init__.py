"""The driver: the only place that knows all stages, from model file to artifact, proof and report."""

from edgec.driver.compile import compile_model, fit_model
from edgec.driver.options import CompileOptions, CompileResult

__all__ = ["CompileOptions", "CompileResult", "compile_model", "fit_model"]
