"""What decides a figure besides the options: the images and the code, as short digests.

Two runs belong together only if both are equal.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from blemish.data.sample import DataSet, Sample

_PACKAGE = Path(__file__).resolve().parents[1]
#: Modules that training and evaluation import and that decide no figure. The registry of methods
#: is among them: a method's own file counts, the arrival of another method does not.
_NEUTRAL = frozenset(
    f"blemish.{name}"
    for name in (
        *("errors", "_files", "_names", "_progress"),
        *("model_file.bundle", "model_file.weights", "methods.registry"),
    )
)


def data_fingerprints(data_set: DataSet) -> dict[str, str]:
    """A digest per category over paths (relative to the root), labels, masks and file contents.

    Reads every file once.

    Example:
        >>> import numpy as np
        >>> from blemish.benchmark.fingerprint import data_fingerprints
        >>> from blemish.data.sources import training_data
        >>> one, other = (training_data(np.full((2, 4, 4), v, np.uint8)) for v in (0, 1))
        >>> data_fingerprints(one) == data_fingerprints(other)
        False
    """
    digests = {name: hashlib.blake2b(digest_size=12) for name in data_set.products}
    for sample in data_set.samples:
        digest = digests[sample.product]
        digest.update(f"\n{_relative(sample.path, data_set.root)}|{sample.split}".encode())
        digest.update(f"|{sample.label}|{sample.defect_kind}|{sample.part}".encode())
        digest.update(_image_digest(sample))
        for mask in sample.mask_paths:
            digest.update(_relative(mask, data_set.root).encode() + _file_digest(mask))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _relative(path: Path, root: Path) -> str:
    # Images inside an array file are named below a root that may be that file itself.
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _image_digest(sample: Sample) -> bytes:
    if sample.image is None:
        return _file_digest(sample.path)
    content = hashlib.blake2b(repr(sample.image.shape).encode(), digest_size=12)
    content.update(sample.image.tobytes())
    return content.digest()


def _file_digest(path: Path) -> bytes:
    content = hashlib.blake2b(digest_size=12)
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
    blemish; comments, docstrings and formatting do not count.

    Args:
        method_module: E.g. ``blemish.methods.rd.model``.
        package: Folder of the package.

    Example:
        >>> from blemish.benchmark.fingerprint import code_fingerprint
        >>> len(code_fingerprint("blemish.methods.rd.model"))
        16
    """
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
        waiting += [name for name in imported if name.startswith("blemish.")]
    digest = hashlib.sha256()
    for module, text in sorted(seen.items()):
        digest.update(f"{module}\n{text}\n".encode())
    return digest.hexdigest()[:16]


def _source(package: Path, module: str) -> Path | None:
    stem = package.joinpath(*module.split(".")[1:])
    if stem == package:
        return None
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
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
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree), tuple(imported)
