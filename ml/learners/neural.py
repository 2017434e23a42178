"""Sets by what a neural network says of the market's last year: the neural fitter as a learner.

For: refits on a schedule, and a mix at every close. Not for: the network itself (``ml.fitter``).

A fit is made on the first ``least`` sessions, and every ``refit`` from there, going on from
the one before. Until there is enough history, the regime table speaks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView, heaviest
from ml.score_table import ScoreTable, TableSelection

if TYPE_CHECKING:
    from ml.fitter.config import FitterConfig
    from ml.fitter.fitter import NeuralFitter


@dataclass(frozen=True)
class NeuralSelection:
    """What is kept between two selections.

    Parameters
    ----------
    scores : float64, ``[1, param]`` or ``[state, param]``
        Weight that the fitter gives each set, a comparison between sets and not a Sharpe ratio;
        the table's scores before there is a fitter.
    sessions : float64, ``[1]`` or ``[state]``
    fitters : dict of (int, int) to NeuralFitter
        The last fit, by the first session that it was fitted on and the first one after those.
    table : TableSelection or None
        Where there is no fitter yet.
    """

    scores: Floats
    sessions: Floats
    fitters: dict[tuple[int, int], NeuralFitter]
    table: TableSelection | None


@LEARNERS.register("neural")
@dataclass(frozen=True)
class Neural:
    """The mean mix of an ensemble of networks.

    Parameters
    ----------
    table : ScoreTable
        Recipe of the teacher, and what speaks before there is a fitter.
    members : int
        Most sets in the mix.
    extractor : str
        Name in ``ml.fitter.extractor.EXTRACTORS``.
    least, refit : int
        Sessions of the first fit, and between two.
    seed : int
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    members: int = 16
    extractor: str = "tcn"
    least: int = 756
    refit: int = 504
    seed: int = 0

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        own = {"least": self.least, "refit": self.refit, "seed": self.seed}
        fits = asdict(self.fitter_config())
        return {"learner": "neural", **vars(self.table), **own, "fitter": fits}

    @property
    def least_window(self) -> int:
        """Sessions of a rolling window in which there always is a fit."""
        return self.least + self.refit - 1

    def fitter_config(self) -> FitterConfig:
        """What each fit is."""
        from ml.fitter.config import FitterConfig

        return FitterConfig(extractor=self.extractor)

    def _stops(self, view: LearnerView) -> tuple[int, list[int]]:
        """First session learned from, and the first after those of every fit up to now.

        In a rolling window the first moves in steps of ``refit``.
        """
        first = view.first + view.stepped(self.refit)
        return first, list(range(first + self.least, view.first + view.sessions + 1, self.refit))

    def select(self, view: LearnerView, *, before: Any = None) -> NeuralSelection:
        """Fit where a fit is due."""
        first, stops = self._stops(view)
        if not stops or view.market is None:
            table = self.table.select(view)
            return NeuralSelection(table.scores, table.sessions, {}, table)
        known = {} if before is None else before.fitters
        fitter = self._fitted(view, first, stops, known)
        weights = fitter.mixes(view.rows(first - view.first, view.sessions))[:, -1].mean(axis=0)
        sessions = np.array([float(stops[-1] - first)])
        return NeuralSelection(weights[None], sessions, {(first, stops[-1]): fitter}, None)

    def _fitted(
        self,
        view: LearnerView,
        first: int,
        stops: list[int],
        known: dict[tuple[int, int], NeuralFitter],
    ) -> NeuralFitter:
        """The last fit, each going on from the one before, as far as they are not known."""
        from ml.fitter.fitter import NeuralFitter

        start = max((k for k, stop in enumerate(stops) if (first, stop) in known), default=-1)
        fitter = known[first, stops[start]] if start >= 0 else None
        for stop in stops[start + 1 :]:
            fitter = NeuralFitter.fit(
                view.rows(first - view.first, stop - view.first),
                self.fitter_config(),
                seed=self.seed,
                table=self.table,
                previous=fitter,
            )
        assert fitter is not None  # there is at least one stop
        return fitter

    def weigh(self, selection: NeuralSelection, view: LearnerView) -> Floats:
        """Mix of the last session; ``[param]``."""
        if selection.table is not None:
            return self.table.weigh(selection.table, view)
        ((first, _), fitter), *_ = selection.fitters.items()
        # between two selections a rolling window may have left the fit's first sessions behind
        seen = view.rows(max(first - view.first, 0), view.sessions)
        return heaviest(fitter.mixes(seen)[:, -1].mean(axis=0), self.members)
