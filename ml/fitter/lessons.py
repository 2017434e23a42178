"""What the fitter learns from: windows of the market's state, and what was so afterwards.

For: inputs, the teacher's mix, outcomes and regimes along one history, cut into sequences, with
the last sessions kept back for validation. Not for: the network, and not for the future: a sample
is learned from only when its outcome is over.

The teacher is the soft regime table of the training part: its shares by regime, mixed by the
probabilities of each session. Its mix is a target, never its best set alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest import seeds
from backtest.errors import NotFittedError
from ml.fitter.heads import REGIME_WORDS
from ml.learner import HORIZON, Floats, LearnerView, Market
from ml.score_table import ScoreTable

Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

AHEAD = 5
"""Sessions ahead of which the regime head tells."""
LIMIT = 4.0
"""Training deviations at which an input is cut."""

_TINY = 1e-8


@dataclass(frozen=True)
class Windows:
    """How a history is cut.

    Parameters
    ----------
    sequence : int
        Sessions that the network sees at once.
    overlap : int
        Sessions that a sequence shares with the next; asked are those after the overlap.
    step : int
        Sessions between two decisions.
    held_out : int
        Last sessions, kept back for validation.
    passes : int
        Times that an epoch goes through the history, each cut elsewhere.
    """

    sequence: int = 252
    overlap: int = 126
    step: int = 5
    held_out: int = 126
    passes: int = 8

    def kept_back(self, sessions: int) -> tuple[int, int]:
        """First of the sessions kept back, and the first after them, of so many that are known.

        The outcomes of the sessions after them are not over. Units, regimes and networks may be
        fitted on the sessions before them.

        Raises
        ------
        NotFittedError
            As of :meth:`require`.
        """
        self.require(sessions)
        stop = sessions - HORIZON
        return stop - self.held_out, stop

    def require(self, sessions: int) -> None:
        """Refuse fewer sessions than ``least``.

        Raises
        ------
        NotFittedError
            ``E_TOO_SHORT``.
        """
        if sessions < self.least:
            raise NotFittedError(
                f"{sessions} sessions where the fitter needs {self.least}",
                where="training history",
                fix="give more history",
                code="E_TOO_SHORT",
            )

    @property
    def least(self) -> int:
        """Fewest sessions that can be learned from: two sequences' worth, and validation."""
        return self.sequence + self.overlap + self.held_out + 2 * HORIZON


@dataclass(frozen=True)
class Inputs:
    """Columns that the network reads, and their units.

    Parameters
    ----------
    columns : tuple of str
        Of the market's state, in the order they are read; the regime words follow.
    centre, scale : float64, ``[column]``
        Of the sessions before those kept back.
    """

    columns: tuple[str, ...]
    centre: Floats
    scale: Floats

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.columns) + len(REGIME_WORDS)

    @classmethod
    def fitted(cls, market: Market) -> Inputs:
        """Choose the columns that vary, and measure them.

        Raises
        ------
        NotFittedError
            No column of the market's state is ever known.
        """
        known = np.isfinite(market.state)
        chosen, centre, scale = [], [], []
        for k, name in enumerate(market.columns):
            values = market.state[known[:, k], k]
            if len(values) > 1 and values.std() > _TINY:
                chosen.append(name)
                centre.append(values.mean())
                scale.append(values.std())
        if not chosen:
            raise NotFittedError(
                "no column of the market's state varies",
                where=f"{len(market.dates)} sessions",
                fix="give more history or more symbols",
            )
        return cls(tuple(chosen), np.array(centre), np.array(scale))

    def of(self, view: LearnerView) -> Singles:
        """Rows of a view in training units; unknown is average; ``[time, input]``.

        Raises
        ------
        NotFittedError
            ``E_SCHEMA``: a column that was trained on is not there.
        """
        market = market_of(view)
        missing = [name for name in self.columns if name not in market.columns]
        if missing:
            raise self._unlike(market, missing)
        pick = [market.columns.index(name) for name in self.columns]
        raw = np.clip((market.state[:, pick] - self.centre) / self.scale, -LIMIT, LIMIT)
        told = words_of(view)
        return np.concatenate([np.nan_to_num(raw), told - 0.5], axis=1).astype(np.float32)

    def require(self, market: Market) -> None:
        """Refuse a state in which a column that was trained on is missing or has no value.

        Raises
        ------
        NotFittedError
            ``E_SCHEMA``, with the difference.
        """
        known = np.isfinite(market.state)
        told = {name for k, name in enumerate(market.columns) if known[:, k].any()}
        if missing := [name for name in self.columns if name not in told]:
            raise self._unlike(market, missing)

    def _unlike(self, market: Market, missing: list[str]) -> NotFittedError:
        added = [name for name in market.columns if name not in self.columns]
        return NotFittedError(
            f"the market's state has no {', '.join(missing)}",
            where=f"columns that it does not read: {', '.join(added) or 'none'}",
            fix="give bars as it was trained on, or train again on these",
            code="E_SCHEMA",
        )


def market_of(view: LearnerView) -> Market:
    """The view's market.

    Raises
    ------
    NotFittedError
        The view knows returns and regimes only.
    """
    if view.market is None:
        raise NotFittedError(
            "the fitter reads the market's state", where="view", fix="give a view with a market"
        )
    return view.market


def words_of(view: LearnerView) -> Floats:
    """Probability of each of ``REGIME_WORDS``; ``[time, word]``."""
    has = np.array([[word in name.split() for word in REGIME_WORDS] for name in view.regimes])
    return np.asarray(view.probabilities @ has.astype(np.float64))


@dataclass(frozen=True)
class Lessons:
    """One history as arrays along its sessions.

    Parameters
    ----------
    inputs : float32, ``[time, input]``
    teacher : float32, ``[time, param + 1]``
        The table's mix, as it is known at the end; cash last.
    table : float32, ``[time, param + 1]``
        What the table would have proposed at each close, from the returns known then.
    outcome : float32, ``[time, 3]``
        Mean return, Sharpe ratio and turnover of the teacher's mix over the next ``HORIZON``
        sessions, in training deviations.
    regime : float32, ``[time, 6]``
        Words of the regime ``AHEAD`` sessions later.
    returns : float32, ``[time, param + 1]``
        Net returns of the session *after* each, cash last.
    learned : int
        Sessions whose samples may be trained on; their outcomes are over before validation.
    held : tuple of int
        First session that is validated on, and the first after those.
    windows : Windows
    scale : float
        Deviation per session of the teacher's mix on the sessions learned from.
    """

    inputs: Singles
    teacher: Singles
    table: Singles
    outcome: Singles
    regime: Singles
    returns: Singles
    learned: int
    held: tuple[int, int]
    windows: Windows
    scale: float

    def sequences(self, epoch: int, *, seed: int) -> list[int]:
        """First sessions of an epoch's sequences, in random order.

        Each pass covers every session after the first overlap once; where it begins is drawn.
        """
        cut = self.windows
        random = seeds.generator(seed, f"sequences/{epoch}")
        new = cut.sequence - cut.overlap
        out = []
        for _ in range(cut.passes):
            stop = self.learned - int(random.integers(0, cut.step + 1))
            while stop - cut.sequence >= 0:
                out.append(stop - cut.sequence)
                stop -= new
        return [out[k] for k in random.permutation(len(out))]

    @property
    def asked(self) -> Ints:
        """Sessions of a sequence that are decisions; ``[asked]``."""
        cut = self.windows
        return np.arange(cut.sequence - 1, cut.overlap - 1, -cut.step)[::-1].copy()


def with_cash(mixes: Floats) -> Floats:
    """Weights ``[..., param]`` and, last, what is missing to 1."""
    cash = np.maximum(1.0 - mixes.sum(axis=-1, keepdims=True), 0.0)
    return np.concatenate([mixes, cash], axis=-1)


def lessons(view: LearnerView, *, inputs: Inputs, windows: Windows, table: ScoreTable) -> Lessons:
    """Turn everything that a view knows into lessons.

    The mixes in ``table`` are causal in the sets' returns. The probabilities behind them are
    filtered, by a model that was fitted on all sessions before those kept back.

    Raises
    ------
    NotFittedError
        ``E_TOO_SHORT``: fewer sessions than ``windows.least``.
    """
    first_held, stop = windows.kept_back(view.sessions)
    learned = first_held - HORIZON
    taught = table.select(view.rows(0, first_held))
    mix = view.probabilities @ taught.shares  # [T, P]
    teacher = with_cash(mix)
    known = table.mixes(view, view.sessions, every=windows.step)
    after = np.zeros((view.sessions, view.grid.size + 1))
    after[:-1, :-1] = view.returns[:, 1:].T
    stream = (teacher * after).sum(axis=1)
    scale = max(float(stream[:learned].std()), _TINY)
    outcome = _outcomes(stream, _traded(view, mix))
    unit = np.maximum(outcome[:learned].std(axis=0), _TINY)
    told = words_of(view)
    regime = told[np.minimum(np.arange(view.sessions) + AHEAD, view.sessions - 1)]
    return Lessons(
        inputs=inputs.of(view),
        teacher=teacher.astype(np.float32),
        table=with_cash(known).astype(np.float32),
        outcome=((outcome - outcome[:learned].mean(axis=0)) / unit).astype(np.float32),
        regime=regime.astype(np.float32),
        returns=after.astype(np.float32),
        learned=learned,
        held=(first_held, stop),
        windows=windows,
        scale=scale,
    )


def _traded(view: LearnerView, mix: Floats) -> Floats:
    """What the mix trades in the session after each, without netting; 0 where unknown."""
    turnover = np.nan_to_num(market_of(view).turnover)
    out = np.zeros(view.sessions)
    out[:-1] = (mix[:-1] * turnover[:, 1:].T).sum(axis=1)
    return out


def _outcomes(stream: Floats, traded: Floats) -> Floats:
    """Mean, Sharpe and turnover over the ``HORIZON`` sessions after each; ``[time, 3]``."""
    out = np.zeros((len(stream), 3))
    views = np.lib.stride_tricks.sliding_window_view
    own, trades = views(stream, HORIZON), views(traded, HORIZON)
    mean, deviation = own.mean(axis=1), own.std(axis=1)
    known = slice(0, len(own))
    out[known, 0] = mean
    out[known, 1] = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > _TINY)
    out[known, 2] = trades.mean(axis=1)
    return out
