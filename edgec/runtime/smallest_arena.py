"""Finds the smallest arena in which TFLM runs a model: not estimated, but run, and refused one step below."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgec.errors import RuntimeFailure
from edgec.runtime.sample_inputs import sample_inputs
from edgec.runtime.tensor_info import Array
from edgec.runtime.tflm import AMPLE_ARENA_BYTES, ARENA_STEP_BYTES, LARGEST_ARENA_BYTES, TFLMSession, tflm_version


@dataclass(frozen=True, slots=True)
class ArenaMeasurement:
    """The smallest arena, in steps of 16 bytes, in which a model allocates, runs, and gives the right outputs.

    `one_step_less_fails` says that an arena 16 bytes smaller was tried and refused. `constructions` counts the
    interpreters that were made, a crash of TFLM in too small an arena included (it counts as refused); `seconds` is
    the time all of it took, without starting the child process.
    """

    arena_bytes: int
    head_bytes: int
    tail_bytes: int
    one_step_less_fails: bool
    constructions: int
    seconds: float


def smallest_arena(
    model: bytes, *, inputs: Sequence[Array] | None = None, timeout_s: float = 120.0
) -> ArenaMeasurement:
    """Find, in a child process, the smallest arena in which the model allocates, runs, and gives the right outputs.

    The outputs at that size are compared with those of an ample arena, byte for byte, on `inputs` or, without them,
    on `sample_inputs`. Bisection in steps of 16 bytes starts at the total that TFLM reports, which is the answer for
    most models; temporary memory of TFLM's planner makes it more for some.

    Raises:
        MissingExtra: tflite-micro is not installed.
        RuntimeFailure: TFLM refuses the model, crashes on it, or takes longer than `timeout_s`.
    """
    from edgec.runtime.isolated import call_isolated

    tflm_version()  # a missing extra is said without starting a process
    reply = call_isolated(
        "edgec.runtime.smallest_arena:measure_arena",
        model,
        inputs or (),
        doing="measuring the arena in TFLM",
        timeout_s=timeout_s,
    )
    return ArenaMeasurement(**reply.values)


def measure_arena(model: bytes, inputs: Sequence[Array]) -> tuple[dict[str, Any], list[Array]]:
    """Do what `smallest_arena` says in this process; returns the measurement's fields and the outputs."""
    search = _ArenaSearch(model, inputs)
    measurement = search.run()
    return asdict(measurement), search.expected


class _ArenaSearch:
    """Gallop away from the reported total until one end allocates and the other does not, then bisect.

    Sizes are counted in steps of 16 bytes. Allocation is all that depends on the size, so the search only loads the
    model; the size found is then run and its outputs are compared.
    """

    def __init__(self, model: bytes, inputs: Sequence[Array]) -> None:
        self._model = model
        self._constructions = 0
        self._started = time.perf_counter()
        session = self._ample_session()
        self._ample_steps = session.arena_bytes // ARENA_STEP_BYTES
        self._inputs = list(inputs) or sample_inputs(session.input_details)
        self.expected = session.run(self._inputs)
        self._reported = session.allocations()

    def run(self) -> ArenaMeasurement:
        steps = self._smallest_that_allocates(-(-self._reported.total_bytes // ARENA_STEP_BYTES))
        one_less_fails = not self._allocates(steps - 1)
        while steps < self._ample_steps and not self._runs_right(steps):
            steps += 1
            one_less_fails = True
        return ArenaMeasurement(
            arena_bytes=steps * ARENA_STEP_BYTES,
            head_bytes=self._reported.head_bytes,
            tail_bytes=self._reported.tail_bytes,
            one_step_less_fails=one_less_fails,
            constructions=self._constructions,
            seconds=time.perf_counter() - self._started,
        )

    def _ample_session(self) -> TFLMSession:
        try:
            return self._session(AMPLE_ARENA_BYTES)
        except RuntimeFailure as error:
            try:
                return self._session(LARGEST_ARENA_BYTES)
            except RuntimeFailure:
                raise error from None  # the size was not the reason

    def _session(self, arena_bytes: int) -> TFLMSession:
        self._constructions += 1
        return TFLMSession(self._model, arena_bytes)

    def _allocates(self, steps: int) -> bool:
        self._constructions += 1
        return succeeds_in_fork(lambda: bool(TFLMSession(self._model, steps * ARENA_STEP_BYTES)))

    def _runs_right(self, steps: int) -> bool:
        def outputs_agree() -> bool:
            outputs = TFLMSession(self._model, steps * ARENA_STEP_BYTES).run(self._inputs)
            return all(same_bytes(got, want) for got, want in zip(outputs, self.expected))

        self._constructions += 1
        return succeeds_in_fork(outputs_agree)

    def _smallest_that_allocates(self, start: int) -> int:
        stride = 1
        if self._allocates(start):
            fits, fails = start, start - stride
            while fails > 0 and self._allocates(fails):
                stride *= 2
                fits, fails = fails, max(fails - stride, 0)
        else:
            fails, fits = start, start + stride
            while fits < self._ample_steps and not self._allocates(fits):
                stride *= 2
                fails, fits = fits, min(fits + stride, self._ample_steps)
        while fits - fails > 1:
            middle = (fits + fails) // 2
            if self._allocates(middle):
                fits = middle
            else:
                fails = middle
        return fits


def succeeds_in_fork(attempt: Callable[[], bool]) -> bool:
    """Say whether `attempt` returns True in a fork of this process; a RuntimeFailure or a crash there means False.

    With an arena that is too small TFLM does not always refuse: for models with variable tensors it may write through
    a null pointer. Call this only in a process with a single thread. (The wheel exists for Linux only.)
    """
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = 0 if attempt() else 1
        except RuntimeFailure:
            status = 1
        finally:
            os._exit(status)  # no clean-up of what belongs to the parent
    _, wait_status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(wait_status) == 0


def same_bytes(left: Array, right: Array) -> bool:
    """Say whether two arrays agree in dtype, shape and every bit (NaN included)."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
