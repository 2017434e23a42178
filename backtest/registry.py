"""Named parts, found by walking the folder that holds them.

For: sockets (``strategy``, ``metric``, ``feature``, ...) that let a part register itself under
one name. Not for: configuration, ordering or life cycles of the parts.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from backtest.errors import PartError, UnknownNameError

T = TypeVar("T")


SHOWN = 30
"""Known names that an error line lists."""


def closest(name: str, known: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """Say which known names are nearest to a wrong one, as a clause for an error line.

    Returns
    -------
    str
        ``did you mean 'x'?``, or the known names, as many as fit a line.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "known: " + ", ".join(names[:SHOWN]) + more


class Registry(Generic[T]):
    """Parts of one kind by name.

    Parameters
    ----------
    kind : str
        Singular name of the kind, used in messages and, with ``weathervane.`` before it, as the
        entry-point group through which outside packages add parts.
    package : str
        Dotted folder that is walked on first use, for example ``backtest.strategies``; or the
        one module that registers all parts itself.
    called : str, optional
        The kind in messages, where its own name means something else to people.

    Examples
    --------
    >>> registry = Registry("demo", "backtest.strategies")
    >>> "rsi_swing" in Registry("strategy", "backtest.strategies").names() or True
    True
    """

    def __init__(self, kind: str, package: str, *, called: str | None = None):
        self.kind = kind
        self.called = called or kind
        self.package = package
        self._parts: dict[str, T] = {}
        self._walked = False

    def register(self, name: str) -> Callable[[T], T]:
        """Register the decorated class or function under ``name``; a name is given only once."""

        def keep(part: T) -> T:
            if name in self._parts and self._parts[name] is not part:
                raise ValueError(f"{self.called} {name!r} is registered twice")
            self._parts[name] = part
            return part

        return keep

    def _walk(self) -> None:
        if self._walked:
            return
        self._walked = True
        folder = importlib.import_module(self.package)
        for module in sorted(
            pkgutil.iter_modules(getattr(folder, "__path__", [])), key=lambda m: m.name
        ):
            self._load(f"{self.package}.{module.name}")
        for point in entry_points(group=f"weathervane.{self.kind}"):
            self.register(point.name)(point.load())

    def _load(self, module: str) -> None:
        """Import the file of a part; its author's mistake is one line that names it."""
        try:
            importlib.import_module(module)
        except Exception as error:
            self._walked = False
            raise PartError(
                f"{type(error).__name__}: {error}",
                where=f"{module.replace('.', '/')}.py",
                fix=f"mend the file of the {self.called}, or take it out",
            ) from error

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        self._walk()
        return tuple(sorted(self._parts))

    def get(self, name: str) -> T:
        """Return the part called ``name``.

        Raises
        ------
        UnknownNameError
            With the closest known names.
        """
        self._walk()
        try:
            return self._parts[name]
        except KeyError:
            raise UnknownNameError(
                f"unknown {self.called} {name!r}", fix=closest(name, self.names())
            ) from None

    def items(self) -> Iterator[tuple[str, T]]:
        """Pairs of name and part, sorted by name."""
        for name in self.names():
            yield name, self._parts[name]
