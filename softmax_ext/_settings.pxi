# The instruction set level that calls use, what the module can say about itself, and what it does at import.

import os

from libc.stdint cimport int64_t
from libc.string cimport memset

from softmax_ext._csrc cimport (
    SMX_COMPILER, SMX_OP_COUNT, SMX_OPENMP_RUNTIME, SMX_SETTLED, smx_always_use_threads, smx_ask_runtime,
    smx_buffers_begin, smx_count_calls, smx_get_buffer_limit, smx_get_threads, smx_last_cache, smx_level, smx_levels,
    smx_measurement, smx_openmp_version, smx_policy, smx_policy_begin, smx_policy_is_worth_a_team, smx_policy_learn,
    smx_policy_width, smx_run_begin, smx_scratch_begin, smx_set_buffer_limit, smx_threads_begin,
)

from softmax_ext._buffers import default_buffer_limit
from softmax_ext._threads import default_threads

# The import sets it, and so do tests, between calls. Every call reads it.
cdef const smx_level *_level = NULL


def _isa_available():
    """The names of the levels that this machine can run, from the plainest to the best."""
    cdef int count
    cdef const smx_level *levels = smx_levels(&count)
    return [levels[i].name.decode() for i in range(count)]


def _set_isa(name):
    """Use the level of that name in later calls; for tests. Returns the name of the level used before."""
    global _level
    cdef int count
    cdef const smx_level *levels = smx_levels(&count)
    before = _level.name.decode() if _level != NULL else None
    for i in range(count):
        if levels[i].name.decode() == name:
            _level = &levels[i]
            return before
    raise ValueError(f"name: got {name!r}, expected one of {', '.join(_isa_available())}")


def _operation_names():
    """The names of the operations in the table of csrc/; for tests."""
    return [_level.f64.op[i].name.decode() for i in range(SMX_OP_COUNT)]


def _has_fma():
    """Return True if the level in use has an instruction for fused multiply-adds."""
    return bool(_level.has_fma)


def _always_use_threads(always):
    """For tests: any call that could use threads does, whatever came before it and whatever else the machine does."""
    smx_always_use_threads(always)


cdef class _Policy:
    """The policy of csrc/policy.h, with a state of its own; for tests. Times are in nanoseconds."""

    cdef smx_policy _state

    def __cinit__(self):
        memset(&self._state, 0, sizeof(self._state))

    def begin(self, now):
        """The program begins now."""
        smx_policy_begin(&self._state, now)

    @staticmethod
    def is_worth_a_team(spent, expected):
        """True if a thread that has spent so long in calls, and is to make another, may have threads of its own."""
        return bool(smx_policy_is_worth_a_team(spent, expected))

    def width(self, now, limit):
        """The number of threads of a call that begins now."""
        return smx_policy_width(&self._state, now, limit)

    def learn(self, now, took, serial, width, is_crowded=False, expected=None):
        """Tell what a call that ends now has shown."""
        cdef smx_measurement call
        call.now, call.took, call.serial, call.width, call.is_crowded = now, took, serial, width, is_crowded
        call.expected = serial if expected is None else expected
        smx_policy_learn(&self._state, &call)

    @property
    def is_settled(self):
        return self._state.state == SMX_SETTLED

    @property
    def rest(self):
        return self._state.rest


def _build_info():
    """What `show_config` reports about this module."""
    runtime = SMX_OPENMP_RUNTIME.decode()
    cdef int64_t together = 0, alone = 0
    smx_count_calls(&together, &alone)
    return {
        "isa": _level.name.decode(),
        "isa_available": _isa_available(),
        "compiler": SMX_COMPILER.decode(),
        "openmp": f"{runtime} ({smx_openmp_version()})" if runtime else None,
        "threads": smx_get_threads(),
        "calls_together": together,
        "calls_alone": alone,
        "buffer_limit": smx_get_buffer_limit(),
    }


def _initialize():
    """Choose the level and set up the C side; called once, by the import."""
    asked = os.environ.get("SOFTMAX_EXT_ISA", "").strip()
    available = _isa_available()
    if asked and asked not in available:
        raise ImportError(f"SOFTMAX_EXT_ISA: this machine has {', '.join(available)}; got {asked!r}")
    _set_isa(asked or available[len(available) - 1])
    smx_run_begin(smx_last_cache())
    smx_scratch_begin()
    cdef int processors, threads
    smx_ask_runtime(&processors, &threads)
    smx_threads_begin(default_threads(processors, threads))
    smx_buffers_begin()
    smx_set_buffer_limit(default_buffer_limit())
