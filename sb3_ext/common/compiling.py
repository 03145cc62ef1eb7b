"""``@compiled``: a plain Python function of numbers and arrays, made as fast as C by numba.

It is compiled when it is first called and kept on disk; while it runs it lets other threads run. What it computes is
what its source says: ``function.py_func`` is the plain Python function, and with the environment variable
``NUMBA_DISABLE_JIT=1`` nothing is compiled at all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_ROOT = Path(__file__).parents[1]
_SOURCES = sorted(file for folder in ("common", "tabular") for file in (_ROOT / folder).glob("*.py"))
_STAMP = tuple((file.name, (stat := file.stat()).st_mtime, stat.st_size) for file in _SOURCES)


def compiled(function: Callable[..., Any], **options: bool) -> Any:
    """Compiles a function.

    Numba's cache looks for changes in a function's own file; here, in all files of ours that it may call as well.
    """
    make: Any = numba.njit
    try:
        dispatcher = make(cache=True, nogil=True, error_model="numpy", **options)(function)
    except RuntimeError:  # there is no folder that may be written to
        return make(nogil=True, error_model="numpy", **options)(function)
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, _STAMP)
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """Compiles a function that allocates no array, into whatever calls it: many small functions then cost no more than
    one large one. (Numba would count references to every array of a named tuple at each call.)
    """
    return compiled(function, forceinline=True, _nrt=False)
