"""Whether this machine sees a folder as the control plane's does: the worker's half of src/trainer/shared-folder.ts."""

from __future__ import annotations

import platform
import secrets
from pathlib import Path

from .checkpoints import allowed_path
from .errors import EngineError
from .joining import own_roots


def check_shared(folder: str, name: str, token: str) -> None:
    """Reads the file `name` that the control plane wrote there, and writes one beside it, which is removed.

    Raises `folder_not_shared`, `path_not_allowed` or `write_failed`.
    """
    own = own_roots()
    place = Path(folder) if own is None else allowed_path(folder, own, "--allow of thurstone worker")
    machine = platform.node()
    try:
        found = (place / Path(name).name).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        found, why = None, str(error)
    else:
        why = "another file stands there"
    if found != token:
        raise EngineError(
            "folder_not_shared",
            f"{machine} does not see {folder} as the control plane does: what it wrote there is not found ({why}). "
            "Checkpoints are written by the workers, so output_dir must be one folder, under one path, on storage that "
            "all machines share.",
        )
    own_file = place / f"{name}.{secrets.token_hex(4)}"
    try:
        own_file.write_text(token, "utf-8")
        own_file.unlink()
    except OSError as error:
        raise EngineError(
            "write_failed", f"{machine} cannot write in {folder}: {error}. Let the worker's user write in output_dir."
        ) from error
