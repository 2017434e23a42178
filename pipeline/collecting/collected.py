"""What a pass over a universe did, in numbers and names.

For: what ``collect`` returns, and the facts of a run hold. Not for: the quotes themselves.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Collected:
    """What one pass did.

    Parameters
    ----------
    symbols : int
        Of the universe.
    asked : int
        Symbols that were not known up to the session yet.
    restated, unknown, delisted : list of str
        Symbols with a new vintage; those that the source does not know; those of them that it knew.
    apart : list of str
        Symbols whose answer has no bar in common with what was known: a restatement in between
        cannot be seen.
    holed : list of str
        Symbols whose answer lacks values that are known: what was known stays.
    pending, failed : dict of str to str
        Symbols whose newest bar is not there yet, and those without an answer, with the reason.
    new, changed, withdrawn : int
        Quotes written.
    """

    symbols: int = 0
    asked: int = 0
    restated: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    delisted: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    holed: list[str] = field(default_factory=list)
    pending: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    new: int = 0
    changed: int = 0
    withdrawn: int = 0

    def plain(self) -> dict[str, Any]:
        """Plain JSON values, in an order that does not depend on which answer came first."""
        out = dataclasses.asdict(self)
        return {
            name: sorted(v)
            if isinstance(v, list)
            else dict(sorted(v.items()))
            if isinstance(v, dict)
            else v
            for name, v in out.items()
        }
