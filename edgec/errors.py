"""Every error edgec raises on purpose.

A message is one sentence: what was being done, to what, what was found, and what would do. `EdgecError` and its
subclasses mean that the input is at fault (exit status 2); anything else that escapes is a fault of edgec (status 3).
"""

MOST_CHARACTERS = 4000  # of a message: names in a damaged file have any length


class EdgecError(Exception):
    """Base of all errors that a user's input can cause; the middle of a very long message is left out."""

    def __init__(self, message: str = "") -> None:
        half = MOST_CHARACTERS // 2
        super().__init__(message if len(message) <= MOST_CHARACTERS else f"{message[:half]} … {message[-half:]}")


class ImportFailure(EdgecError):
    """A model file could not be read or translated."""


class UnsupportedOp(ImportFailure):
    """The source model uses operators or forms that have no translation; all of them are listed at once."""


class TranslationFault(EdgecError):
    """The translated model departs from its source in its own runtime: a fault of edgec (exit status 3)."""


class ExportFailure(EdgecError):
    """A module could not be written in the requested format."""


class ProfileError(EdgecError):
    """A target, device profile or budget is malformed, unknown or contradictory."""


class DataError(EdgecError):
    """Calibration or evaluation data is missing, malformed, or does not match the model's inputs."""


class VerificationError(EdgecError):
    """A module breaks an invariant of the IR."""


class ParseError(EdgecError):
    """The text form of a module could not be parsed."""


class PassError(EdgecError):
    """A pass was given options or a module that it cannot work on."""


class QuantizationError(EdgecError):
    """A quantization scheme cannot be applied to this module."""


class CompressionError(EdgecError):
    """A pruning or low-rank request cannot be applied to this module."""


class AllocationError(EdgecError):
    """A memory plan is impossible or invalid."""


class LoweringError(EdgecError):
    """An op cannot be legalized for the target or written to the output format."""


class RuntimeFailure(EdgecError):
    """A runtime (LiteRT, TFLM, onnxruntime) refused or failed to run an artifact."""


class MissingExtra(EdgecError):
    """An optional dependency is not installed; the message names the extra to install."""
