"""Provenance of a figure: machine and versions, and digests of its images and of its code.

Two runs belong together only if both digests are equal.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from blemish.data.images.polygons import is_polygons
from blemish.data.sample import DataSet
from blemish.model_file.versions import installed
from blemish.runtime.cores import usable_cores

# Packages that decide how fast or how exact a result is; absent ones are left out.
_PACKAGES = (
    *("blemish", "numpy", "scipy", "scikit-learn", "torch", "lightning"),
    *("onnxruntime", "openvino", "pillow"),
)
_PACKAGE = Path(__file__).resolve().parents[1]
#: Modules that training and evaluation import and that decide no figure. The registry of methods
#: is among them: a method's own file counts, the arrival of another method does not.
_NEUTRAL = frozenset(
    f"blemish.{name}"
    for name in (
        *("errors", "_files", "_names", "_progress"),
        *("model_file.bundle", "methods.registry"),
    )
)


def environment() -> dict[str, Any]:
    """Date, versions and machine, ready for JSON; no host name, user or path.

    Nothing heavy is imported: versions come from the installed packages' metadata. ``cores`` are
    those this process may use; what the system does not tell is ``None``.
    """
    commit, modified = _git_state()
    return {
        "date_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": installed(_PACKAGES),
        "cpu_model": _cpu_model(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "git_commit": commit,
        "git_modified": modified,
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        text = ""
    named = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return None
    return round(size / 2**30, 1)


def _git(*arguments: str) -> str | None:
    """Output of git in this file's folder; ``None`` if there is no git or it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git_state() -> tuple[str | None, bool | None]:
    # Installed inside someone else's checkout, git would name their commit: ask whether it
    # tracks the package at all.
    if not _git("ls-files", "../__init__.py"):
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def data_fingerprints(data_set: DataSet) -> dict[str, str]:
    """A digest per category over paths (relative to the root), labels, masks and file contents.

    Reads every file once.
    """
    digests = {name: hashlib.blake2b(digest_size=12) for name in data_set.products}
    for sample in data_set.samples:
        digest = digests[sample.product]
        digest.update(f"\n{_relative(sample.path, data_set.root)}|{sample.split}".encode())
        digest.update(f"|{sample.label}|{sample.defect_kind}|{sample.part}".encode())
        if sample.image is None:
            digest.update(_file_digest(sample.path))
        else:
            content = hashlib.blake2b(repr(sample.image.shape).encode(), digest_size=12)
            content.update(sample.image.tobytes())
            digest.update(content.digest())
        for mask in sample.mask_paths:
            digest.update(_relative(mask, data_set.root).encode() + _file_digest(mask))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _relative(path: Path, root: Path) -> str:
    # Images inside an array file are named below a root that may be that file itself.
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _file_digest(path: Path) -> bytes:
    content = hashlib.blake2b(digest_size=12)
    if is_polygons(path):
        path = path.with_name(path.name.partition("#")[0])
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                content.update(block)
    except OSError:
        return b"missing"  # the run itself will say what is wrong with it
    return content.digest()


def code_fingerprint(method_module: str, *, package: Path = _PACKAGE) -> str:
    """A digest of the sources behind a method's figures.

    Taken are the method's module, the detector, the protocols and all that these import from
    blemish, or from the package that the method is of; comments, docstrings and formatting do not
    count.
    """
    packages = {"blemish", method_module.split(".")[0]}
    waiting = [method_module, "blemish.detector", "blemish.benchmark.protocols"]
    seen: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        if module in seen or module in _NEUTRAL:
            continue
        path = _source(package, module)
        if path is None:
            continue
        text, imported = _normalised(path, path.stat().st_mtime_ns)
        seen[module] = text
        waiting += [name for name in imported if name.split(".")[0] in packages]
    digest = hashlib.sha256()
    for module, text in sorted(seen.items()):
        digest.update(f"{module}\n{text}\n".encode())
    return digest.hexdigest()[:16]


def _source(package: Path, module: str) -> Path | None:
    root, *parts = module.split(".")
    if root != package.name:  # a method from outside
        file = getattr(sys.modules.get(module), "__file__", None)
        return None if file is None else Path(file)
    stem = package.joinpath(*parts)
    candidates = (stem.with_suffix(".py"), stem / "__init__.py") if parts else ()
    return next((path for path in candidates if path.is_file()), None)


@cache
def _normalised(path: Path, changed_at: int) -> tuple[str, tuple[str, ...]]:
    """The source without comments and docstrings, and the modules it may import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import name`: the name may be a module; one that is not is not found.
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree), tuple(imported)
