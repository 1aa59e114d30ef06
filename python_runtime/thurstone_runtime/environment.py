"""What this Python has: its version, its packages against the requirements, torch's devices. Standard library only.

Run as a file (``python environment.py [--intact] REQUIREMENT ...``) it prints what is missing and exits with 1 if
anything is; ``--intact`` also looks for packages whose files an interrupted install did not finish.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

DEVELOPMENT = "# Development"
"""Everything below this line of requirements.txt is for working on thurstone, not for using it."""


def read_requirements(path: str) -> list[str]:
    """The requirement lines of a requirements.txt that the worker needs, without comments and options."""
    runtime = Path(path).read_text(encoding="utf-8").split(DEVELOPMENT)[0]
    lines = (line.split("#", 1)[0].strip() for line in runtime.splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def package_report(requirement: str) -> dict[str, Any]:
    """Name, wanted specifier, installed version (None when absent) and whether the two agree."""
    parsed = _parse_requirement(requirement)
    try:
        installed = metadata.version(parsed.name)
    except metadata.PackageNotFoundError:
        installed = None
    fits = installed is not None and parsed.specifier.contains(installed, prereleases=True)
    return {"name": parsed.name, "wanted": str(parsed.specifier), "installed": installed, "ok": fits}


def damaged_packages() -> list[str]:
    """Installed packages that lack their file list (pip writes it last) or a listed file. Byte code may be missing."""
    damaged = []
    for distribution in metadata.distributions():
        files = distribution.files
        listed = [file for file in files or [] if file.suffix != ".pyc"]
        if not listed or not all(Path(str(file.locate())).exists() for file in listed):
            damaged.append(distribution.metadata["Name"] or str(distribution.locate_file("")))
    return damaged


def torch_report() -> dict[str, Any]:
    """torch's version and the devices it can compute on. Imports torch, which takes seconds."""
    import torch

    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return {
        "version": torch.__version__,
        "cuda": [torch.cuda.get_device_name(index) for index in devices],
        "cuda_memory": [torch.cuda.get_device_properties(index).total_memory for index in devices],
        "cuda_build": torch.version.cuda,
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
    }


def report(requirements: str, with_torch: bool) -> dict[str, Any]:
    """Everything `thurstone doctor` asks for. A torch that cannot be imported is part of the answer."""
    answer: dict[str, Any] = {
        "python": {"version": sys.version.split()[0], "executable": sys.executable},
        "packages": [package_report(line) for line in read_requirements(requirements)],
        "torch": None,
        "torch_error": None,
    }
    if with_torch:
        try:
            answer["torch"] = torch_report()
        except (ImportError, OSError, RuntimeError) as error:
            answer["torch_error"] = f"{type(error).__name__}: {error}"
    return answer


def _parse_requirement(requirement: str) -> Any:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # a bare environment has pip's own copy
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(requirement)


def main(arguments: list[str]) -> int:
    requirements = [argument for argument in arguments if argument != "--intact"]
    missing = [report for report in map(package_report, requirements) if not report["ok"]]
    for report in missing:
        print(f"{report['name']}{report['wanted']}: {report['installed'] or 'not installed'}")
    damaged = damaged_packages() if "--intact" in arguments else []
    for name in damaged:
        print(f"{name}: files are missing")
    return 1 if missing or damaged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
