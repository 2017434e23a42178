"""Regimes along a history: which fit is in force when, and what each close was told.

For: the refit schedule that walk-forward and export share, history relabelled by the fit in
force, and the published rows. Not for: the models themselves, and never for smoothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import linear_sum_assignment

from backtest import seeds
from backtest.errors import ConfigError, LookaheadError, NotFittedError
from ml.regime import RegimeFit, RegimeModel, by_name

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RegimeTrack:
    """A regime model refitted along an expanding window; fits are made when first asked for.

    Parameters
    ----------
    state : float64, ``[time, feature]``
        NaN where unknown.
    columns : tuple of str, ``[feature]``
    model : RegimeModel
    train, refit : int
        Sessions before the first fit and between fits: a fit is made at the close of each ``i``
        with ``i >= train`` and ``(i - train) % refit == 0``, on rows 0 to ``i`` inclusive.
    seed : int
    dates : datetime64[D], ``[time]``, optional
        Only for the published frame.
    fits : dict of int to RegimeFit
        Cache by index of the fit's last row; a fit depends on rows up to its index only, so
        tracks of longer and shorter cuts of one history may share it.
    """

    state: Floats
    columns: tuple[str, ...]
    model: RegimeModel
    train: int
    refit: int
    seed: int
    dates: npt.NDArray[np.datetime64] | None = None
    fits: dict[int, RegimeFit] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def sessions(self) -> int:
        """Number of rows."""
        return len(self.state)

    def refitted_at(self, i: int) -> int:
        """Index of the last row that the fit in force at the close of ``i`` has seen.

        Raises
        ------
        LookaheadError
            ``i`` is not a row of this history.
        NotFittedError
            ``i`` lies before the first fit.
        """
        if not 0 <= i < self.sessions:
            raise LookaheadError(
                f"no session {i}", where=f"history of {self.sessions}", fix="ask for a known one"
            )
        if i < self.train:
            raise NotFittedError(
                f"no regime fit at session {i}",
                where=f"the first is at {self.train}",
                fix="give more history or a smaller train",
            )
        return i - (i - self.train) % self.refit

    def fit_at(self, i: int) -> RegimeFit:
        """Return the fit in force at the close of ``i``; errors as :meth:`refitted_at`."""
        last = self.refitted_at(i)
        known = last  # the latest fit that is there, mostly the one asked for
        while known >= self.train and known not in self.fits:
            known -= self.refit
        for j in range(known + self.refit, last + 1, self.refit):
            self.fits[j] = self.model.fit(
                self.state[: j + 1],
                self.columns,
                previous=self.fits.get(j - self.refit),
                seed=seeds.integer(self.seed, f"regimes/{j}"),
            )
        return self.fits[last]

    def names_at(self, i: int) -> tuple[str, ...]:
        """Names of the states of the fit in force at ``i``; ``[state]``."""
        return self.fit_at(i).names

    def relabel(self, i: int) -> Floats:
        """Filter all history up to ``i`` by the fit in force at ``i``; ``[i + 1, state]``."""
        return self.fit_at(i).filter(self.state[: i + 1])

    def published(self) -> pl.DataFrame:
        """What each close was told by the fit in force at that close.

        Returns
        -------
        polars.DataFrame
            ``date`` (if dates were given), ``regime`` (the likeliest name, states of one name
            added up), ``p_bull, p_sideways, p_bear`` (sum to 1), ``p_volatile, p_heavy``,
            ``state`` (the likeliest), ``state_0..`` and ``p_correlated``, null before the first
            fit; a state that the fit in force does not have has probability 0.
        """
        blocks = []
        for first in range(self.train, self.sessions, self.refit):
            stop = min(first + self.refit, self.sessions)
            fit = self.fit_at(first)
            blocks.append((fit.names, fit.filter(self.state[:stop])[first:]))
        return self._frame(blocks)

    def _frame(self, blocks: list[tuple[tuple[str, ...], Floats]]) -> pl.DataFrame:
        missing = min(self.train, self.sessions)
        width = max((len(names) for names, _ in blocks), default=1)
        names: list[str | None] = [None] * missing
        likeliest: list[int | None] = [None] * missing
        axes = {word: [np.full(missing, np.nan)] for word in (*_WORDS, *_LATER)}
        raw = [np.full((missing, width), np.nan)]
        for states, p in blocks:
            best = p.argmax(axis=1)
            distinct, summed = by_name(p, states)
            names += [distinct[k] for k in summed.argmax(axis=1)]
            likeliest += best.tolist()
            for word, parts in axes.items():
                has = np.array([word in name.split() for name in states])
                parts.append(np.minimum(p[:, has].sum(axis=1), 1.0))
            raw.append(np.pad(p, ((0, 0), (0, width - p.shape[1]))))
        out = {} if self.dates is None else {"date": pl.Series(self.dates).cast(pl.Date)}
        out["regime"] = pl.Series(names, dtype=pl.String)
        for word in _WORDS:
            out[f"p_{word}"] = pl.Series(np.concatenate(axes[word]), nan_to_null=True)
        out["state"] = pl.Series(likeliest, dtype=pl.Int64)
        columns = np.concatenate(raw)  # [T, K]
        for k in range(width):
            out[f"state_{k}"] = pl.Series(np.ascontiguousarray(columns[:, k]), nan_to_null=True)
        for word in _LATER:
            out[f"p_{word}"] = pl.Series(np.concatenate(axes[word]), nan_to_null=True)
        return pl.DataFrame(out)


def state_accuracy(likeliest: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """Share of sessions in the right state; arguments as :func:`matched_states`.

    Examples
    --------
    >>> state_accuracy(np.array([1, 1, 0, 2]), np.array([0, 0, 1, 1]))
    0.75
    """
    return float((matched_states(likeliest, truth) == truth).mean())


def matched_states(
    likeliest: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Rename the states found by the best one-to-one assignment to those planted; ``[time]``.

    Parameters
    ----------
    likeliest, truth : int64, ``[time]``
        States found and planted; one found beyond the number planted gets a number of its own.
    """
    size = int(max(likeliest.max(), truth.max())) + 1
    shared = np.zeros((size, size))
    np.add.at(shared, (likeliest, truth), 1.0)
    planted: npt.NDArray[np.int64] = linear_sum_assignment(shared, maximize=True)[1]
    return planted[likeliest]


_WORDS = ("bull", "sideways", "bear", "volatile", "heavy")
_LATER = ("correlated",)
"""Words whose columns came later, and stand behind those that readers know by their place."""


def track(
    state: Floats,
    columns: tuple[str, ...],
    model: RegimeModel,
    *,
    train: int,
    refit: int,
    seed: int,
    dates: npt.NDArray[np.datetime64] | None = None,
    fits: dict[int, RegimeFit] | None = None,
) -> RegimeTrack:
    """Lay a model's refit schedule over a history; arguments as :class:`RegimeTrack`.

    Raises
    ------
    ConfigError
        ``train`` or ``refit`` below 1, or shapes that do not belong together.
    """
    if train < 1 or refit < 1:
        raise ConfigError(
            f"train = {train} and refit = {refit}", where="regimes", fix="give at least 1 session"
        )
    if state.ndim != 2 or state.shape[1] != len(columns):
        raise ConfigError(
            f"state of shape {state.shape} for {len(columns)} columns", fix="give [time, feature]"
        )
    if dates is not None and len(dates) != len(state):
        raise ConfigError(f"{len(dates)} dates for {len(state)} rows", fix="give one per row")
    cache = {} if fits is None else fits
    return RegimeTrack(np.asarray(state, float), columns, model, train, refit, seed, dates, cache)
