"""Files of tabular models: looked at before anything of them is run, and tables as plain arrays."""

import json
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

TABLE_FORMAT = "sb3_ext table 1"


def check_model_file(path: Any, class_name: str) -> None:
    """Raises unless a file says that it is a model of a class. It is plain text that says so; nothing is unpickled."""
    if isinstance(path, str | pathlib.Path):
        path = pathlib.Path(path)
        path = path if path.exists() else path.with_name(path.name + ".zip")
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read("data")).get("algorithm")
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a model that {class_name} saved: {error}") from error
    finally:
        if hasattr(path, "seek"):
            path.seek(0)
    if found != class_name:
        raise ValueError(f"{path} is not a model that {class_name} saved: it is {found or 'of another library'}")


def write_table(path: str | pathlib.Path, algorithm: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes arrays by name, with the format and the algorithm, as ``.npz``."""
    contents: dict[str, Any] = {"format": TABLE_FORMAT, "algorithm": algorithm, **arrays}
    np.savez(path, **contents)


def read_table(path: str | pathlib.Path, algorithm: str, arrays: Mapping[str, npt.NDArray[Any]], n_states: int) -> None:
    """Reads what ``write_table`` wrote into arrays of the same names and shapes, all or none; no pickle is run.

    Raises:
        ValueError: If the file is not one of ours, or does not fit.
        FileNotFoundError: If there is none.
    """
    path = pathlib.Path(path)
    if not path.exists() and path.suffix != ".npz":  # as NumPy names it
        path = path.with_name(path.name + ".npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:  # TypeError: a single array
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is not a table that sb3_ext wrote: {error}") from error
    if str(found.get("format")) != TABLE_FORMAT:
        raise ValueError(f"{path} is not a table that sb3_ext wrote: it has {sorted(found)}")
    for name, array in arrays.items():
        there = found.get(name)
        if there is None or there.shape != array.shape:
            shape = "none" if there is None else list(there.shape)
            raise ValueError(f"{path}: {name} has the shape {shape}, this {algorithm} needs {list(array.shape)}")
        possible = np.can_cast(there.dtype, array.dtype, "same_kind") and np.isfinite(there).all()
        if not possible or (name == "model_next" and not ((there >= 0) & (there < n_states)).all()):
            raise ValueError(f"{path}: {name} holds what cannot be ({there.dtype})")
    for name, array in arrays.items():
        array[:] = found[name]
