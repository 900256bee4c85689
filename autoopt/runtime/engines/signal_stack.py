"""The stack that a thread's signal handlers run on: what a library puts in its place is put back."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2) on Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size_bytes", ctypes.c_size_t))


@contextlib.contextmanager
def own_signal_stack() -> Iterator[None]:
    """Afterwards this thread has the stack that it had before.

    OpenVINO gives the thread that compiles a graph a stack of its own making and leaves it there when its memory is
    gone. Python's handlers run on it, so that the next Ctrl-C or child's end kills the process. Elsewhere than on
    Linux nothing is done.
    """
    if _LIBC is None:
        yield
        return
    before = SignalStack()
    _LIBC.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        _LIBC.sigaltstack(ctypes.byref(before), None)
