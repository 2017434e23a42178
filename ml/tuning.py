"""A parameter search: ask, one sweep for the batch, tell; then a plateau, not a peak.

For: the loop that a search runs on a training window, the set it would take, and what says how much
of that is luck: the raw winner beside it, warnings at edges, every trial counted, sessions kept
back. Not for: files (``pipeline``), and not for the daily decision, which never reads a search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.errors import ParameterError, StoreError
from backtest.evidence.sensitivity import edge_warning
from backtest.market.panel import Panel
from backtest.params import Range
from backtest.result import BookResult
from ml.evaluation import Batch
from ml.neighbourhood import plateau
from ml.objective import book_metrics
from ml.pareto import front_of, hypervolume, ranks
from ml.searcher import SEARCHERS
from ml.space import Row, Space

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEAR_EDGE = 0.01
"""Share of a range, on its own scale, within which a number counts as lying at its bound."""
PURGED = 10
"""Sessions left out between the training window and those kept back: positions reach across."""


@dataclass(frozen=True)
class TuneSpec:
    """How a search is run.

    Parameters
    ----------
    searcher : str
    trials : int
        Most sets to evaluate.
    batch : int
        Most sets of one sweep.
    seed : int
    """

    searcher: str = "tpe"
    trials: int = 128
    batch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that ask for nothing."""
        for name in ("trials", "batch"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} = {getattr(self, name)}", fix="give at least 1")


@dataclass(frozen=True)
class Search:
    """Every set that was tried, in the order of asking.

    Parameters
    ----------
    space : Space
    names : tuple of str
        Objectives.
    batches : tuple of Batch
    exhausted : bool
        Whether the searcher found no further set.
    """

    space: Space
    names: tuple[str, ...]
    batches: tuple[Batch, ...]
    exhausted: bool

    @property
    def rows(self) -> list[Row]:
        """Plain sets ``[set]``."""
        return [row for batch in self.batches for row in batch.rows]

    @property
    def values(self) -> Floats:
        """Larger is better; ``[set, objective]``."""
        return np.concatenate([batch.values for batch in self.batches])

    @property
    def feasible(self) -> Bools:
        """Which sets keep the constraints; ``[set]``."""
        return np.concatenate([batch.feasible for batch in self.batches])

    @property
    def metrics(self) -> dict[str, Floats]:
        """Metrics by name, each ``[set]``."""
        names = self.batches[0].metrics
        return {n: np.concatenate([batch.metrics[n] for batch in self.batches]) for n in names}

    @property
    def batch_of(self) -> Ints:
        """Number of the batch of each set; ``[set]``."""
        return np.repeat(np.arange(len(self.batches)), [len(b.rows) for b in self.batches])


def search(
    space: Space,
    spec: TuneSpec,
    evaluate: Callable[[Sequence[Row]], Batch],
    *,
    names: tuple[str, ...],
    before: Sequence[Batch] = (),
    keep: Callable[[Batch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Search:
    """Search a space.

    The searcher is always asked for a whole batch, of which the last one may keep only the head:
    so a shorter search tries the first sets of a longer one.

    Parameters
    ----------
    space : Space
    spec : TuneSpec
    evaluate : callable
        From sets to what they are worth.
    names : tuple of str
        Objectives.
    before : sequence of Batch
        What an earlier run of the same search was told, with no more ``trials``: its sets are
        asked for and not evaluated again, so that it goes on as if it had never stopped.
    keep : callable, optional
        Given what was evaluated, before the searcher is told.
    progress : callable, optional

    Raises
    ------
    StoreError
        ``E_JOURNAL``: the searcher asks for other sets than the earlier run did.
    """
    searcher = SEARCHERS.get(spec.searcher)(space, objectives=len(names), seed=spec.seed)
    done: list[Batch] = []
    known = deque(before)
    count = 0
    while count < spec.trials:
        rows = searcher.ask(spec.batch)[: spec.trials - count]
        if not rows:
            break
        parts = _answered(known, rows, len(done) + 1)
        if missing := rows[sum(len(part.rows) for part in parts) :]:
            parts.append(evaluate(missing))
            if keep is not None:
                keep(parts[-1])
        told = Batch.joined(parts)
        searcher.tell(rows, told.values, told.feasible)
        done.append(told)
        count += len(rows)
        if progress is not None:
            progress(count, spec.trials)
    if not done:
        raise ParameterError(
            "the space holds no set that keeps the rules between parameters",
            fix="give wider bounds; see `weathervane schema` for the rules",
        )
    return Search(space, names, tuple(done), exhausted=count < spec.trials)


def _answered(known: deque[Batch], rows: list[Row], number: int) -> list[Batch]:
    """Take from a journal what answers the head of these sets: several parts where it ended here.

    Raises
    ------
    StoreError
        ``E_JOURNAL``.
    """
    parts: list[Batch] = []
    left = rows
    while known and left:
        part = known.popleft()
        if list(part.rows) != left[: len(part.rows)]:
            raise StoreError(
                f"batch {number} asks for other sets than the journal holds",
                fix="another version of a library asks differently: search into a new folder",
                code="E_JOURNAL",
            )
        parts.append(part)
        left = left[len(part.rows) :]
    return parts


@dataclass(frozen=True)
class Verdict:
    """What a search would take, and what it saw on its way.

    Parameters
    ----------
    chosen : int
        The feasible set on the highest plateau.
    highest : int
        The feasible set with the highest merit itself.
    merit, smoothed : float64, ``[set]``
        The objective, or the mean of all objectives scaled to [0, 1] over the feasible sets; raw,
        and over the surroundings of each set. NaN where undefined.
    edges : tuple of str
        Warnings: the chosen set lies where the search could not go on.
    front : int64
        Feasible sets that no other beats, ascending.
    reference : float64, ``[objective]``
        The worst feasible value of each objective: where hypervolume is measured from.
    volume : float64, ``[batch]``
        Hypervolume of all sets up to each batch.
    best : float64, ``[set]``
        Highest merit among the feasible sets up to each; -inf before the first.
    notes : tuple of str
    """

    chosen: int
    highest: int
    merit: Floats
    smoothed: Floats
    edges: tuple[str, ...]
    front: Ints
    reference: Floats
    volume: Floats
    best: Floats
    notes: tuple[str, ...]

    @property
    def regret(self) -> Floats:
        """How far the best set so far is below the best of the search; ``[set]``."""
        below: Floats = self.best[-1] - self.best
        return below


def conclude(found: Search) -> Verdict:
    """Choose a plateau and tell the story of a search.

    Raises
    ------
    ParameterError
        ``E_OBJECTIVE``: no set keeps the constraints, or none has every objective defined.
    """
    values, feasible, rows = found.values, found.feasible, found.rows
    if not feasible.any():
        constrained = bool(np.isfinite(values).all(axis=1).any())
        raise ParameterError(
            f"none of {len(rows)} sets "
            + ("keeps the constraints" if constrained else "has every objective defined"),
            fix=("ease the constraints, " if constrained else "")
            + "widen the space or give more --trials",
            code="E_OBJECTIVE",
        )
    low, high = values[feasible].min(axis=0), values[feasible].max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    raw = values[:, 0] if values.shape[1] == 1 else ((values - low) / scale).mean(axis=1)
    merit = np.where(np.isfinite(raw), raw, np.nan)
    smoothed = plateau(found.space, rows, merit)
    held = np.where(feasible, merit, -np.inf)
    chosen = int(np.argmax(np.where(feasible, smoothed, -np.inf)))
    front = front_of(values, feasible)
    volume, batch_of = [], found.batch_of
    best_front = values[:0]
    for k in range(len(found.batches)):
        both = np.vstack([best_front, values[(batch_of == k) & feasible]])
        best_front = both[ranks(both) == 0] if len(both) else both
        volume.append(hypervolume(best_front, low))
    return Verdict(
        chosen=chosen,
        highest=int(np.argmax(held)),
        merit=merit,
        smoothed=smoothed,
        edges=edges_of(found.space, rows[chosen]),
        front=front,
        reference=low,
        volume=np.array(volume),
        best=np.maximum.accumulate(held),
        notes=_notes(found, low, high),
    )


def _notes(found: Search, low: Floats, high: Floats) -> tuple[str, ...]:
    """What a reader of the result should know."""
    notes = []
    if found.exhausted:
        listed = found.space.listed()
        every = listed is not None and len(found.rows) == int(found.space.feasible(listed).sum())
        notes.append(
            f"feasible sets of the space: {len(found.rows)}, all of them tried"
            if every
            else f"the searcher found no further set after {len(found.rows)}; the space holds more"
        )
    if np.array_equal(low, high):
        notes.append("every feasible set is worth the same: there was nothing to choose")
    known, tried = np.isfinite(found.values).all(axis=1), len(found.rows)
    if broken := int((known & ~found.feasible).sum()):
        notes.append(f"sets that break a constraint: {broken} of {tried}")
    if unknown := int((~known).sum()):
        notes.append(f"sets with an undefined objective: {unknown} of {tried}")
    return tuple(notes)


def edges_of(space: Space, row: Row) -> tuple[str, ...]:
    """Warnings about numbers of a set that lie at a bound of the space."""
    bounds, out = space.params.ranges(), []
    for one in space.searched:
        if one.name not in bounds:
            continue
        low, high = (one.values[0], one.values[-1]) if one.values else (one.low, one.high)
        between, value = (low + high) / 2.0, row[one.name]
        at = {low: 0, high: 2}.get(value, 1)
        allowed: Range = bounds[one.name]
        if (one.levels or 3) < 3:
            continue
        said = edge_warning(one.name, [low, between, high], at, allowed)
        share = float(one.encode(np.array([value]))[0])
        if said is None and one.values is None and min(share, 1.0 - share) < NEAR_EDGE:
            end = f"smallest tried, {low:g}" if share < 0.5 else f"largest tried, {high:g}"
            said = f"the best {one.name} is {value:g}, next to the {end}"
        if said is not None:
            out.append(said)
    return tuple(out)


def training_window(panel: Panel, holdout: float) -> tuple[int, int]:
    """Sessions of the training window, and the first session that is kept back.

    Parameters
    ----------
    panel : Panel
    holdout : float
        Share of sessions kept back, in [0, 1); 0 keeps none.

    Raises
    ------
    ParameterError
        Not a share, or ``E_TOO_SHORT``: too few sessions on either side.
    """
    sessions = panel.shape[1]
    if not 0.0 <= holdout < 1.0:
        raise ParameterError(f"holdout = {holdout:g}", fix="give a share from 0 up to 0.9")
    start = sessions - round(sessions * holdout)
    stop = start - PURGED if start < sessions else sessions
    if stop < LEAST_TRAINING or 0 < sessions - start < LEAST_HELD:
        raise ParameterError(
            f"{sessions} sessions, of them {max(stop, 0)} to train on and {sessions - start} kept"
            " back",
            fix=f"give at least {LEAST_TRAINING} and {LEAST_HELD}; --holdout 0 keeps none back"
            if holdout
            else f"give at least {LEAST_TRAINING} sessions",
            code="E_TOO_SHORT",
        )
    return stop, start


LEAST_TRAINING, LEAST_HELD = 126, 20
"""Sessions without which a search says nothing, and those kept back neither."""


def held_out(
    book: BookResult,
    start: int,
    *,
    periods_per_year: int,
    weights: Floats | None = None,
    sought: Sequence[str] = (),
) -> dict[str, Floats]:
    """What sets earned on the sessions from ``start`` on; each ``[set]``, NaN where undefined.

    Parameters
    ----------
    book : BookResult
        Streams ``[set, time]`` of the whole panel.
    weights : float64, ``[time]``, optional
        Of one regime's sessions, as the search was judged.
    sought : sequence of str
        Further metrics to tell; those of accounts are left out.
    """
    late = BookResult(book.net_return[:, start:], book.turnover[:, start:])
    names = tuple(dict.fromkeys(("sharpe", "total_return", "max_drawdown", *sought)))
    own = None if weights is None else weights[start:]
    return book_metrics(late, names, periods_per_year=periods_per_year, weights=own)
