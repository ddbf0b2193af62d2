"""What Colab has installed, as pip constraints for the weekly run.

Colab publishes its list of packages, ``pip-freeze.gpu.txt``, and its Python,
``os-info-gpu.txt``. A constraint binds only what is installed anyway, so the
whole list serves: the package and all that it brings along get Colab's versions.
Needs nothing but Python itself.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!]+)(?:\+[\w.]+)?\s*(?:;.*)?")
# Colab's torch is built for its GPU; that of a runner brings other libraries or none.
GPU = re.compile(r"cuda|nvidia|triton|-cu\d+$")


def canonical(name: str) -> str:
    """Spell a package's name as the index does.

    Examples
    --------
    >>> canonical("Jupyter_Core")
    'jupyter-core'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(freeze: str) -> dict[str, str]:
    """Read the published list.

    Parameters
    ----------
    freeze : str
        Output of ``pip freeze``.

    Returns
    -------
    dict of str to str
        Version by canonical name, without a local part: ``2.11.0+cu128`` is
        2.11.0 on a machine without CUDA. What is not from an index is left out, and so are the GPU's libraries.

    Raises
    ------
    ValueError
        If the list holds no torch, so is not what we take it for.
    """
    found = {
        canonical(m[1]): m[2] for line in freeze.splitlines() if (m := PIN.fullmatch(line.strip()))
    }
    if "torch" not in found:
        raise ValueError(
            f"no line 'torch==...' among {len(freeze.splitlines())}: is it Colab's list?"
        )
    return {name: version for name, version in found.items() if not GPU.search(name)}


def python_version(info: str) -> str:
    """Read Colab's Python, such as "3.13", from its description of the system.

    Raises
    ------
    ValueError
        If no line says "Python 3.x".
    """
    match = re.search(r"^Python (3\.\d+)", info, re.MULTILINE)
    if match is None:
        raise ValueError("no line 'Python 3.x' in the description of Colab's system")
    return match[1]


def differences(published: dict[str, str], names: Iterable[str]) -> list[str]:
    """Say which of the packages are installed in another version than Colab's.

    Parameters
    ----------
    published : dict of str to str
        From `pins`.
    names : iterable of str

    Returns
    -------
    list of str
        One line a package that differs or that Colab lacks.
    """
    lines = []
    for name in map(canonical, names):
        here = importlib.metadata.version(name).partition("+")[0]
        if name not in published:
            lines.append(f"{name}: not on Colab; installing the package brings {here}")
        elif published[name] != here:
            lines.append(f"{name}: Colab has {published[name]}, the package asks for {here}")
    return lines


def main(argv: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Run the command: ``constraints FREEZE``, ``python OS-INFO`` or ``check FREEZE``."""
    command, file = sys.argv[1:3] if argv is None else argv
    text = Path(file).read_text(encoding="utf-8")
    if command == "python":
        print(python_version(text))
        return 0
    published = pins(text)
    if command == "constraints":
        print("\n".join(f"{name}=={version}" for name, version in sorted(published.items())))
        return 0
    root = root or Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]]  # type: ignore[index]
    lines = differences(published, names)
    print("\n".join(lines) or f"all {len(names)} packages as on Colab")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
