"""What is known of each parameter set at a close, and what it then earned: data for prediction.

For: features of past sessions, and the outcomes that whoever learns from decisions learns from. Not
for: the models that are fitted on them.

A sample is a pair of session and set. Its features are read from columns up to that session; its
target is the mean return of the ``HORIZON`` sessions after it over the set's own deviation so far
(Sharpe per session). It may be learned from only when these sessions are over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ml.learner import HORIZON, MIN_ACTIVE, STILL, Floats, LearnerView, Market
from ml.score_table import RegimeSharpe, ScoreTable

Ints = npt.NDArray[np.int64]

SPANS: Final = (21, 63, 252)
"""Sessions of the trailing windows; beside them stands all history."""
STATE_ROLES: Final = {
    "market_volatility_regime": "market_volatility_20",
    "trend_strength": "market_strength_1",
    "trend": "market_return_20",
    "volume_profile": "market_volume_1",
    "comovement": "market_comovement_5",
    "autocorrelation_fast": "market_autocorrelation_2",
    "autocorrelation_slow": "market_autocorrelation_12",
}
"""Features of the session by the column of the market's state that they are."""

BASE: Final = "regime_sharpe_ratio_smoothed"
"""Feature that a prediction starts from: the regime table's score today, Sharpe per session."""

_BLOCK = 21
_BLOCKS = 12
_RATIO_LIMIT = 3.0
_TINY = 1e-12


@dataclass(frozen=True)
class Samples:
    """Features by session and set, with their names.

    Parameters
    ----------
    sessions : int64, ``[session]``
        Columns of the view that the rows describe.
    values : float64, ``[session, param, feature]``
        NaN where unknown.
    names : tuple of str, ``[feature]``
    eligible : bool, ``[session, param]``
        As the regime table counts it; else ``BASE`` is unknown.
    """

    sessions: Ints
    values: Floats
    names: tuple[str, ...]
    eligible: npt.NDArray[np.bool_]


def samples(
    view: LearnerView, sessions: Ints, table: ScoreTable, *, today: Floats | None = None
) -> Samples:
    """Describe every set at the close of some sessions.

    Parameters
    ----------
    view : LearnerView
    sessions : int64, ``[session]``
        Ascending columns of the view.
    table : ScoreTable
        Whose scores ``BASE`` repeats.
    today : float64, ``[session, state]``, optional
        Probabilities to use instead of the sessions' own: what would be said, were the regime
        certain. Sessions may repeat.
    """
    own = view.probabilities[sessions] if today is None else today
    past = _Past(view, sessions)
    known = _by_regime(view, past)
    raw = np.einsum("skp,sk->sp", table.shrunk(known), own)
    base = table.smoothed(raw, known.eligible, view.grid)
    by_set = {
        **_record(past),
        **_trading(view, past),
        BASE: np.where(known.eligible, base, np.nan),
        "regime_sharpe_ratio": raw,
        "regime_sharpe_ratio_excess": raw - raw.mean(axis=1, keepdims=True),
        "regime_sessions": (known.sessions * own).sum(axis=1)[:, None],
    }
    by_session = _market(view, sessions, own)
    columns = [np.broadcast_to(one, past.shape) for one in by_set.values()]
    columns += [np.broadcast_to(one[:, None], past.shape) for one in by_session.values()]
    coded = parameters_coded(view)
    columns += [np.broadcast_to(one, past.shape) for one in coded.values()]
    return Samples(
        sessions,
        np.stack(columns, axis=2),
        (*by_set, *by_session, *coded),
        known.eligible,
    )


def outcomes(returns: Floats, sessions: Ints) -> Floats:
    """What each set earned after some sessions, Sharpe per session; ``[session, param]``.

    Parameters
    ----------
    returns : float64, ``[param, time]``
    sessions : int64, ``[session]``
        Columns of ``returns``.

    Returns
    -------
    float64
        Mean return of the next ``HORIZON`` sessions over the deviation of all up to the session.
        NaN where these are not all known, where a set had a return on fewer than ``MIN_ACTIVE``
        sessions, or where it had not moved.
    """
    out = np.full((len(sessions), len(returns)), np.nan)
    over = sessions + HORIZON < returns.shape[1]
    if not over.any():
        return out
    ends = sessions[over] + 1
    cuts = np.unique(np.concatenate([[0], ends, ends + HORIZON]))
    total, square, active = (
        _sums(one, cuts) for one in (returns, returns * returns, returns != 0.0)
    )
    then, later = np.searchsorted(cuts, ends), np.searchsorted(cuts, ends + HORIZON)
    mean = total[then] / ends[:, None]
    deviation = np.sqrt(np.maximum(square[then] / ends[:, None] - mean**2, 0.0))
    earned = (total[later] - total[then]) / HORIZON
    able = (active[then] >= MIN_ACTIVE) & (deviation > STILL)
    out[over] = np.divide(earned, deviation, out=np.full_like(earned, np.nan), where=able)
    return out


def _sums(values: npt.NDArray[np.generic], cuts: Ints) -> Floats:
    """Sums of the columns before each of some ascending cuts, the first 0; ``[cut, param]``."""
    stops = cuts[cuts < values.shape[1]]
    parts = np.add.reduceat(values, stops, axis=1, dtype=np.float64)
    sums = np.zeros((len(cuts), len(values)))
    sums[1:] = parts[:, : len(cuts) - 1].T.cumsum(axis=0)
    return sums


def parameters_coded(view: LearnerView) -> dict[str, Floats]:
    """Numeric parameters in the unit interval, categories as numbers; each ``[param]``."""
    ranges, out = view.grid.params.ranges(), {}
    for name, column in view.grid.columns.items():
        if name in ranges:
            low, high = float(ranges[name].low), float(ranges[name].high)
            values = np.asarray(column, dtype=np.float64)
            out[f"parameter_{name}"] = (values - low) / max(high - low, _TINY)
        else:
            codes = np.unique(column, return_inverse=True)[1]
            out[f"parameter_{name}"] = codes.astype(np.float64)
    return out


class _Past:
    """Sums of returns over every trailing window, for all samples at once.

    Arrays are ``[window, session, param]``; the windows are ``SPANS`` and all history.
    """

    def __init__(self, view: LearnerView, sessions: Ints) -> None:
        self.ends = sessions + 1
        self.starts = np.stack(
            [np.maximum(self.ends - span, 0) for span in SPANS] + [np.zeros_like(self.ends)]
        )
        edges = np.stack([self.ends - k * _BLOCK for k in range(_BLOCKS + 1)])
        self.edges = np.maximum(edges, 0)
        self.returns = view.returns
        self.shape = (len(sessions), len(view.returns))
        cuts = np.unique(np.concatenate([self.starts.ravel(), self.edges.ravel(), self.ends]))
        self._cuts = cuts
        r = view.returns
        self._sum = _sums(r, cuts)
        self.count = self._windows(_sums(r != 0.0, cuts))
        self.total = self._windows(self._sum)
        square = self._windows(_sums(r * r, cuts))
        self.gain = self._windows(_sums(np.maximum(r, 0.0), cuts))
        self.won = self._windows(_sums(r > 0.0, cuts))
        self.length = (self.ends - self.starts)[:, :, None].astype(np.float64)
        mean = self.total / self.length
        self.deviation = np.sqrt(np.maximum(square / self.length - mean**2, 0.0))
        self.sharpe = np.divide(
            mean, self.deviation, out=np.zeros_like(mean), where=self.deviation > STILL
        )

    def at(self, sums: Floats, cuts: Ints) -> Floats:
        """Sums before some cuts; ``[..., param]``."""
        return sums[np.searchsorted(self._cuts, cuts)]

    def _windows(self, sums: Floats) -> Floats:
        return self.at(sums, self.ends)[None] - self.at(sums, self.starts)

    def blocks(self) -> Floats:
        """Sums of returns over the last blocks, newest first; ``[block, session, param]``."""
        sums = self.at(self._sum, self.edges)
        return sums[:-1] - sums[1:]


def _record(past: _Past) -> dict[str, Floats]:
    """What each set earned and how steadily; each ``[session, param]``."""
    names = [*(str(span) for span in SPANS), "all"]
    out = {f"parameter_sharpe_ratio_{n}": one for n, one in zip(names, past.sharpe, strict=True)}
    lost = past.gain - past.total
    for k in (1, 2, 3):
        active = np.maximum(past.count[k], 1.0)
        out[f"parameter_win_rate_{names[k]}"] = past.won[k] / active
        out[f"profit_factor_{names[k]}"] = _bounded_log(past.gain[k], lost[k])
        out[f"expectancy_{names[k]}"] = past.total[k] / active
    blocks = past.blocks()
    live = (past.edges[:-1] > past.edges[1:])[:, :, None]
    rising = ((blocks > 0.0) & live).sum(axis=0) / np.maximum(live.sum(axis=0), 1)
    out["parameter_stability_score"] = rising
    out["parameter_max_drawdown"] = _drawdowns(past, span=126)
    out["deviation_ratio"] = _bounded_log(past.deviation[0], past.deviation[-1])
    return out


def _bounded_log(above: Floats, below: Floats) -> Floats:
    """Logarithm of a ratio, within limits; 0 where both are 0."""
    raw = np.log((above + _TINY) / (below + _TINY))
    return np.asarray(np.clip(raw, -_RATIO_LIMIT, _RATIO_LIMIT))


def _drawdowns(past: _Past, *, span: int) -> Floats:
    """Largest fall of the sum of returns in the last sessions over their deviation."""
    out = np.zeros(past.shape)
    for row, stop in enumerate(past.ends):
        path = past.returns[:, max(stop - span, 0) : stop].cumsum(axis=1)
        fall = np.maximum.accumulate(np.maximum(path, 0.0), axis=1) - path
        out[row] = fall.max(axis=1)
    scale = past.deviation[-1] * np.sqrt(span)
    deepest: Floats = np.divide(out, scale, out=np.zeros_like(out), where=scale > STILL)
    return deepest


def _trading(view: LearnerView, past: _Past) -> dict[str, Floats]:
    """How often each set trades and how long it holds; NaN where turnover is unknown."""
    frequency = np.full(past.shape, np.nan)
    hold = np.full(past.shape, np.nan)
    if view.market is not None:
        for row, stop in enumerate(past.ends):
            traded = view.market.turnover[:, max(stop - SPANS[-1], 0) : stop]
            frequency[row] = (traded > 0.0).mean(axis=1) + 0.0 * traded[:, -1]
            hold[row] = 2.0 / np.maximum(traded.mean(axis=1), 2.0 / SPANS[-1])
    return {"signal_frequency": frequency, "average_hold_time": hold}


def _by_regime(view: LearnerView, past: _Past) -> RegimeSharpe:
    """What every set had earned in every regime by each sample's session.

    As :func:`ml.score_table.sharpe_by_regime` of the view cut there; the first session, which no
    regime owns, counts for nothing.
    """
    told = np.column_stack([view.probabilities, np.ones(view.sessions)])
    weights = np.zeros_like(told)
    weights[1:] = told[:-1]
    stops = np.concatenate([[1], past.ends])
    shape = (*past.shape, weights.shape[1])
    total, square = np.zeros(shape), np.zeros(shape)
    mass, active = np.zeros((shape[0], shape[2])), np.zeros(past.shape, dtype=np.int64)
    for row in range(len(past.ends)):
        rows = slice(stops[row], stops[row + 1])
        r, q = view.returns[:, rows], weights[rows]
        total[row], square[row], mass[row] = r @ q, (r * r) @ q, q.sum(axis=0)
        active[row] = np.count_nonzero(r, axis=1)
    sums = (total, square, mass, active)
    return RegimeSharpe.of(*(one.cumsum(axis=0) for one in sums))


def _market(view: LearnerView, sessions: Ints, own: Floats) -> dict[str, Floats]:
    """What the session itself was like, the same for every set; each ``[session]``."""
    out = {"regime_certainty": own.max(axis=1)}
    market = view.market
    for name, column in STATE_ROLES.items():
        known = market is not None and column in market.columns
        out[name] = _column(market, column)[sessions] if known and market else _nothing(sessions)
    weekday = _nothing(sessions)
    if market is not None:
        days = market.dates[sessions].astype("datetime64[D]").astype(np.int64)
        weekday = ((days + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday
    return {**out, "day_of_week": weekday}


def _column(market: Market, name: str) -> Floats:
    out: Floats = market.state[:, market.columns.index(name)]
    return out


def _nothing(sessions: Ints) -> Floats:
    return np.full(len(sessions), np.nan)
