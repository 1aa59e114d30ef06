"""The environment report and the shim: what doctor and the setup script believe."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from thurstone_runtime import environment, shim


def test_a_package_fits_its_specifier_or_not() -> None:
    installed = metadata.version("pytest")
    assert environment.package_report("pytest>=1") == {
        "name": "pytest",
        "wanted": ">=1",
        "installed": installed,
        "ok": True,
    }
    assert environment.package_report("pytest<1")["ok"] is False
    assert environment.package_report("no-such-package-of-thurstone==1") == {
        "name": "no-such-package-of-thurstone",
        "wanted": "==1",
        "installed": None,
        "ok": False,
    }


@pytest.mark.parametrize("name", ["Pillow", "huggingface-hub"])
def test_names_are_compared_as_pip_compares_them(name: str) -> None:
    assert environment.package_report(name)["ok"] is True


def test_requirements_end_where_development_begins(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# Runtime\ntorch==2.13.0  # any build\n\n-r other.txt\nnumpy>=2\n# Development\nruff\n")
    assert environment.read_requirements(str(file)) == ["torch==2.13.0", "numpy>=2"]


def test_an_unfinished_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "half-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert environment.damaged_packages() == ["half"]

    (tmp_path / "half.py").write_text("")
    (information / "RECORD").write_text(
        "half.py,,\nhalf-1.0.dist-info/METADATA,,\n__pycache__/half.cpython-311.pyc,,\n"
    )
    assert environment.damaged_packages() == []
    (tmp_path / "half.py").unlink()
    assert environment.damaged_packages() == ["half"]


def test_as_a_file_it_says_what_is_missing_and_fails() -> None:
    command = [sys.executable, environment.__file__, "pytest>=1"]
    assert subprocess.run(command, check=False).returncode == 0
    result = subprocess.run([*command, "pytest<1", "absent"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == f"pytest<1: {metadata.version('pytest')}\nabsent: not installed\n"


def test_the_report_names_this_python(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("pytest\n")
    report = environment.report(str(file), False)
    assert report["python"] == {"version": ".".join(map(str, sys.version_info[:3])), "executable": sys.executable}
    assert [package["ok"] for package in report["packages"]] == [True]
    assert report["torch"] is None and report["torch_error"] is None


def test_the_shim_answers_values_as_json() -> None:
    assert json.loads(shim.call_json("operator", "add", "[2, 0.5]")) == {"value": 2.5}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("operator", "truediv", "[1, 0]"), "ZeroDivisionError: division by zero"),
        (("operator", "no_such", "[]"), "AttributeError: module 'operator' has no attribute 'no_such'"),
        (("no_such_module", "name", "[]"), "ModuleNotFoundError: No module named 'no_such_module'"),
        (("builtins", "bytes", "[2]"), "TypeError: Object of type bytes is not JSON serializable"),
    ],
)
def test_the_shim_answers_failures_as_json(call: tuple[str, str, str], error: str) -> None:
    answer = json.loads(shim.call_json(*call))
    assert answer["error"].startswith(error)
    assert "Traceback" in answer["traceback"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_the_shim_marks_numbers_that_json_does_not_have(number: str) -> None:
    assert json.loads(shim.call_json("builtins", "float", f'["{number}"]')) == {"value": {"__float__": number}}
