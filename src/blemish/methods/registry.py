"""Registry of methods: every system by name, its own and those that other packages bring.

Looking a method up imports that one alone; naming them imports none. A package of its own brings a
method by an entry point of the group ``blemish.methods``, a script by :func:`register`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from blemish._names import unknown_name_message
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.methods.base import Method
    from blemish.methods.settings import MethodConfig

#: The systems in this package: where each one's class is. The API, the command line, the benchmark
#: and the contract test know a method from its line here.
_OWN = {
    "trio": "blemish.methods.trio.model:Trio",
    "patchcore": "blemish.methods.patchcore.model:PatchCore",
    "rd": "blemish.methods.rd.model:RD",
    "hfr": "blemish.methods.hfr.model:HFR",
    "anomem": "blemish.methods.anomem.model:AnoMem",
    "radar": "blemish.methods.radar.model:RADAR",
    "borad": "blemish.methods.borad.model:BoRAD",
    "logicrd": "blemish.methods.logicrd.model:LogicRD",
}
_registered: dict[str, type[Method]] = {}


def register(name: str, config: type[MethodConfig], method: type[Method]) -> None:
    """Make a method known under a name, for this process.

    Args:
        name: Letters, digits, ``_``, ``-`` and ``.``.
        config: The frozen dataclass of its settings.
        method: The class; its ``config_class`` is ``config``.

    Raises:
        ConfigError: A name that is taken or cannot be one, or classes that are no method's.

    Example:
        >>> from blemish.methods import names, register
        >>> from blemish.methods.rd.config import RDConfig
        >>> from blemish.methods.rd.model import RD
        >>> class Mine(RD):
        ...     pass
        >>> register("mine", RDConfig, Mine)
        >>> "mine" in names()
        True
    """
    _check_method(method, f"register({name!r}, …)")
    if method.config_class is not config:
        raise ConfigError(
            f"{method.__name__}.config_class is {method.config_class.__name__}, and "
            f"{getattr(config, '__name__', config)} was named. Set it in the class."
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"A method cannot be called {name!r}: expected a word, such as my_rd.")
    # A cell of a notebook that is run again makes the same class anew.
    again = name in _registered and _path(_registered[name]) == _path(method)
    if name in names() and not again:
        raise ConfigError(f"There is a method {name!r} already. Choose another name.")
    _registered[name] = method


def names() -> list[str]:
    """Names of all methods: this package's, registered ones, those of installed packages."""
    return list(_paths())


def method_class(name: str) -> type[Method]:
    """The class of a method by name, or by ``module:class``, as a model file may name it.

    Such a module must have been imported: a model file never makes this program run code.

    Raises:
        ConfigError: An unknown name; the message lists the known ones and the nearest. A method
            whose package cannot be imported; the message names the package and the reason.
    """
    if name in _registered:
        return _registered[name]
    if name in _OWN:
        return _imported(_OWN[name])
    entry = _entry_points().get(name)
    if entry is None and ":" not in name:
        raise ConfigError(
            f"{unknown_name_message('method', name, names())} A method from outside is known once "
            "its package is installed, or after blemish.methods.register()."
        )
    if entry is None and name.partition(":")[0] not in sys.modules:
        raise ConfigError(
            f"The method {name!r} is a class of a module that was not imported. Import it first, "
            "or make the method known by blemish.methods.register()."
        )
    which = f"The method {name!r}"
    if entry is not None and entry.dist is not None:
        which += f" of the package {entry.dist.name} {entry.dist.version}"
    try:
        found = _imported(name if entry is None else entry.value)
    except Exception as error:  # whatever that package's code may raise
        raise ConfigError(
            f"{which} cannot be imported here ({type(error).__name__}: {error}). Install or repair "
            "the package that defines it; the other methods work without it."
        ) from error
    return _check_method(found, which)


def usable_methods() -> Iterator[tuple[str, type[Method]]]:
    """Every method by name that can be imported; a broken package's is left out."""
    for name in names():
        with contextlib.suppress(ConfigError):
            yield name, method_class(name)


def method_name(method: type[Method]) -> str:
    """The name that a model file gives a class: the one it is known by, else ``module:class``."""
    path = _path(_check_method(method, "The detector's method"))
    return next((name for name, known in _paths().items() if known == path), path)


def _path(method: type[Method]) -> str:
    return f"{method.__module__}:{method.__qualname__}"


def _entry_points() -> dict[str, EntryPoint]:
    """What installed packages bring; a name of ours stays ours."""
    return {one.name: one for one in entry_points(group="blemish.methods") if one.name not in _OWN}


def _paths() -> dict[str, str]:
    """``module:class`` by name."""
    registered = {name: _path(method) for name, method in _registered.items()}
    return _OWN | registered | {name: one.value for name, one in _entry_points().items()}


def _imported(path: str) -> Any:
    module, _, qualified = path.partition(":")
    found: Any = import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found


def _check_method(found: Any, what: str) -> type[Method]:
    from blemish.methods.base import Method

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ConfigError(f"{what} is {found!r}: expected a class that extends Method.")
    return found
