"""One of Optuna's samplers behind the socket of searchers.

For: asking in batches, never twice for a set, and telling infeasible sets as such; what all parts
that use Optuna share. Not for: which sampler (``searchers``). The study lives in memory, writes no
file and no log.

A sampler that knows constraints is told a broken one; another is told the worst value seen so far,
so that it turns away. A set that the sampler proposes again is closed as failed, which every
sampler ignores. What a sampler fails to propose after some rounds is drawn uniformly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ml.searcher import Asked, Bools, Floats
from ml.space import Row, Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

ROUNDS = 4
"""Times that a sampler is asked again for what it proposed twice or against a rule."""
RULES = "rules"


class StudySearcher:
    """A searcher around one sampler.

    Parameters
    ----------
    space : Space
    sampler : optuna.samplers.BaseSampler
    objectives : int
    asked : Asked
    constrained : bool
        Whether the sampler reads constraints.
    """

    def __init__(
        self,
        space: Space,
        sampler: BaseSampler,
        *,
        objectives: int,
        asked: Asked,
        constrained: bool,
    ):
        import optuna

        self._space, self._asked, self._constrained = space, asked, constrained
        self._distributions = space.distributions()
        self._open: dict[tuple[object, ...], Trial] = {}
        self._worst = np.full(objectives, np.nan)
        with quiet():
            self._study: Study = optuna.create_study(
                sampler=sampler, directions=["maximize"] * objectives
            )

    def ask(self, n: int) -> list[Row]:
        """Ask the sampler for ``n`` new sets."""
        out: list[Row] = []
        if (left := self._asked.left) is not None:
            n = min(n, left)  # a sampler's step is dear where nothing is left to propose
        for _ in range(ROUNDS if self._distributions else 0):
            if len(out) == n:
                break
            with quiet():
                trials = [self._study.ask(self._distributions) for _ in range(n - len(out))]
            rows = self._space.from_optuna([trial.params for trial in trials])
            fine = self._space.feasible(rows)
            kept = set(self._asked.sieve(rows, len(rows)))
            for k, (trial, row) in enumerate(zip(trials, rows, strict=True)):
                if k in kept:
                    self._open[tuple(row.values())] = trial
                    out.append(row)
                else:
                    self._close(trial, known=bool(fine[k]))
        return out + self._asked.uniform(n - len(out)) if len(out) < n else out

    def tell(self, rows: Sequence[Row], values: Floats, feasible: Bools) -> None:
        """Pass results to the study."""
        finite: Bools = np.all(np.isfinite(values), axis=1)
        with np.errstate(invalid="ignore"):
            told = np.vstack([self._worst, values[finite]])
        if finite.any():
            self._worst = np.nanmin(told, axis=0)
        for row, value, known, fine in zip(rows, values, finite, feasible, strict=True):
            self._tell(row, value if known else self._worst, fine=bool(known and fine))

    def _tell(self, row: Row, value: Floats, *, fine: bool) -> None:
        """Pass one result."""
        import optuna

        trial = self._open.pop(tuple(row.values()), None)
        if not fine and not self._constrained:
            value = self._worst
        if np.isnan(value).any():  # nothing worth anything was seen yet
            if trial is not None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        with quiet():
            if trial is not None:
                if self._constrained:
                    trial.set_constraint(RULES, -1.0 if fine else 1.0)
                self._study.tell(trial, value.tolist())
            elif self._distributions:
                self._study.add_trial(
                    optuna.create_trial(
                        params=self._space.to_optuna(row),
                        distributions=self._distributions,
                        values=value.tolist(),
                        constraints={RULES: -1.0 if fine else 1.0} if self._constrained else None,
                    )
                )

    def _close(self, trial: Trial, *, known: bool) -> None:
        """End a trial that is not evaluated: proposed before, or against the rules."""
        import optuna

        with quiet():
            if known or np.isnan(self._worst).any():
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                return
            if self._constrained:
                trial.set_constraint(RULES, 1.0)
            self._study.tell(trial, self._worst.tolist())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log to errors, and its remarks on experimental arguments to itself.

    Every other warning passes: it would be about our own use of the library.
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
