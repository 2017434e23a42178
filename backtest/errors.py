"""Every error class of the house, on one page.

For: the one line a person reads when something they can mend went wrong
(``E_CODE: what, where, what to do``). Not for: programming mistakes, which stay ordinary
Python exceptions and keep their traceback.
"""

from __future__ import annotations

from typing import Any


class WeathervaneError(Exception):
    """Base of all errors that a person can act on.

    Parameters
    ----------
    what : str
        What happened, naming the value found and the value allowed.
    where : str
        Symbol, date, file, column or setting; empty when ``what`` says it all.
    fix : str
        What to do about it.
    code : str, optional
        Overrides the class's ``E_`` code, for a more precise one.

    Examples
    --------
    >>> str(DataError("high 9.0 is below low 10.0", where="ABC 2020-01-02", fix="mend the file"))
    'E_DATA: high 9.0 is below low 10.0, ABC 2020-01-02, mend the file'
    """

    code = "E_WEATHERVANE"

    def __init__(self, what: str, *, where: str = "", fix: str = "", code: str | None = None):
        self.code = code or type(self).code
        self.what, self.where, self.fix = what, where, fix
        text = ", ".join(part for part in (what, where, fix) if part)
        super().__init__(" ".join(f"{self.code}: {text}".split()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Come out of another process as the same line."""
        return _again, (type(self), self.what, self.where, self.fix, self.code)


def _again(
    kind: type[WeathervaneError], what: str, where: str, fix: str, code: str
) -> WeathervaneError:
    return kind(what, where=where, fix=fix, code=code)


class DataError(WeathervaneError, ValueError):
    """Bars, returns or a file that cannot be used. Whoever supplies the data must act."""

    code = "E_DATA"


class PartError(WeathervaneError):
    """The file of a part (a strategy, a metric) that cannot be imported. Its author must act."""

    code = "E_PART"


class ParameterError(WeathervaneError, ValueError):
    """A strategy parameter that is unknown, out of range or infeasible. The caller must act."""

    code = "E_PARAMETER"


class UnknownNameError(ParameterError):
    """A name that no registry holds. The caller must pick one of the names that are listed."""

    code = "E_UNKNOWN"


class ConfigError(WeathervaneError):
    """A profile or setting that cannot be used. Whoever wrote the profile must act."""

    code = "E_CONFIG"


class EngineUnavailable(WeathervaneError):
    """An engine or device that this installation does not have. The caller must pick another."""

    code = "E_ENGINE"


class LookaheadError(WeathervaneError):
    """Something asked for a value later than its own date. The developer of the part must act."""

    code = "E_LOOKAHEAD"


class NotFittedError(WeathervaneError):
    """A model was used before it was fitted, or on too little history. The caller must act."""

    code = "E_NOT_FITTED"


class ProviderUnavailable(WeathervaneError):
    """A data source that does not answer now. Nobody must act yet: a later try may succeed."""

    code = "E_PROVIDER"


class StoreError(WeathervaneError):
    """The store, a snapshot or a published file cannot be opened, written or trusted."""

    code = "E_STORE"


class ExportRefused(WeathervaneError):
    """The gate or a schema refused to let a document out. The research must act."""

    code = "E_EXPORT"
