"""Variables of a MATLAB 5 file as columns of texts and numbers, for `thurstone prepare`.

scipy reads them. Before it does, everything that a hostile file could blow up is measured: what is packed is unpacked
piece by piece and counted, and dimensions are looked at. Damage inside may still end the process: scipy trusts what it
reads. So this is called in a process that can be thrown away, one file at a time.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Literal

HEADER = 128
TAG = 8
COMPRESSED = 15
CHUNK = 1 << 20


class MatlabFileError(Exception):
    """Why a file is no table; the words go on from its name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_columns(path: str, limits: dict[str, int]) -> dict[str, Any]:
    """{"columns": {name: values}}, or {"problem": {"code", "message"}} where the file is none that can be read.

    A variable is a column where it is a vector of numbers, a cell array of single texts and numbers, or a matrix of
    characters (a text per row); others are left out. limits: "fileBytes", "unpackedBytes", "rows".
    """
    try:
        _check_size(Path(path), limits)
        return {"columns": _load(Path(path), limits)}
    except MatlabFileError as error:
        return {"problem": {"code": error.code, "message": str(error)}}
    except OSError as error:
        return {"problem": {"code": "DATA_FILE_UNREADABLE", "message": f"cannot be read: {error.strerror}."}}


def _check_size(path: Path, limits: dict[str, int]) -> None:
    size = path.stat().st_size
    if size > limits["fileBytes"]:
        raise _too_large(f"it has {size} bytes")
    data = path.read_bytes()
    orders: dict[bytes, Literal["little", "big"]] = {b"IM": "little", b"MI": "big"}
    order = orders.get(data[126:HEADER])
    if order is None:
        raise MatlabFileError("DATA_TABLE_BROKEN", "is no MATLAB 5 file, or is damaged: its header is another.")
    if int.from_bytes(data[124:126], order) >> 8 != 1:
        raise MatlabFileError(
            "DATA_TABLE_BROKEN", 'is of MATLAB 7.3 or later. Save it in MATLAB with save(..., "-v7").'
        )
    unpacked = 0
    at = HEADER
    while at + TAG <= size:
        kind, length = (int.from_bytes(data[at + n : at + n + 4], order) for n in (0, 4))
        at += TAG
        if kind == COMPRESSED:
            unpacked += _unpacked_size(data[at : at + length], limits["unpackedBytes"] - unpacked)
        at += length


def _unpacked_size(packed: bytes, limit: int) -> int:
    stream = zlib.decompressobj()
    size = 0
    while packed and not stream.eof:
        try:
            size += len(stream.decompress(packed, CHUNK))
        except zlib.error as error:
            raise _broken(error) from error
        if size > limit:
            raise _too_large(f"it would unpack to more than {limit} bytes")
        packed = stream.unconsumed_tail
    return size


def _load(path: Path, limits: dict[str, int]) -> dict[str, list[Any]]:
    import scipy.io  # late: only who has such files needs it

    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        for name, shape in shapes.items():
            if max(shape, default=0) > limits["rows"]:
                raise _too_large(f"{name} has {' x '.join(map(str, shape))} values")
        variables = scipy.io.loadmat(path, chars_as_strings=True)
        columns = {name: _column(variables[name]) for name in shapes if name in variables}
    except MatlabFileError:
        raise
    # scipy has no error of its own: a damaged file ends in whatever its bytes lead to.
    except Exception as error:
        raise _broken(error) from error
    return {name: values for name, values in columns.items() if values is not None}


def _column(array: Any) -> list[Any] | None:
    import numpy as np

    if not isinstance(array, np.ndarray):
        return None
    if array.dtype.kind == "U":
        return [str(text) for text in array.ravel()]
    if max(array.shape, default=0) < array.size:
        return None
    if array.dtype.kind in "biuf":
        return array.ravel().tolist()
    if array.dtype.kind != "O":
        return None
    cells = [_cell(cell) for cell in array.ravel()]
    return None if any(isinstance(cell, list) for cell in cells) else cells


def _cell(cell: Any) -> Any:
    """A text or number; a list for what is neither."""
    column = _column(cell)
    if column is None or len(column) > 1:
        return []
    return column[0] if column else ""


def _broken(error: Exception) -> MatlabFileError:
    reason = str(error) or type(error).__name__
    return MatlabFileError("DATA_TABLE_BROKEN", f"is damaged: {reason}.")


def _too_large(found: str) -> MatlabFileError:
    return MatlabFileError("DATA_TABLE_TOO_LARGE", f"is too large for a list of labels: {found}.")
