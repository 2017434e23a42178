"""The planted-leak suite: does a detector see the leak, and does it leave the clean twin alone.

For: running every trap through every detector, and saying which detector catches what. Not for:
the parts of the product (``ml.proof.leaks`` tries those), and not for planting (``planted_*``).

No detector sees every leak. Cutting the history misses a leak that is in what was handed over
before the cut; a market without any effect misses a leak that earns nothing. Together they see
all that are planted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.proof.leak_market import with_noise_after
from ml.proof.leaks import alike
from ml.proof.planted_folds import FITTED
from ml.proof.planted_regimes import REGIMES
from ml.proof.planted_series import SERIES
from ml.proof.trap import Feed, Floats, Trap, Twin, null_market

TRAPS: tuple[Trap, ...] = (*SERIES, *REGIMES, *FITTED)
SEEDS = tuple(range(12))
CUTS = (300, 301, 455, 610, 754)
"""Sessions at which every history is cut; after the last there is one bar left."""

CUT_MARKETS = 2
"""Markets whose history is cut; the null market test takes all of them."""

MOVES = 5
"""Further cuts, where what a twin publishes moves most: a path of regimes that is read off the
whole history differs from the honest one near its changes alone."""

ERRORS_ALLOWED = 4.0
"""Standard errors around 0 within which a stream on the null market is called nothing."""

Progress = Callable[[int, int], None]
Measured = tuple[float, float] | None
"""A number and the limit that its magnitude may not pass; None where a detector has no say."""


@dataclass(frozen=True)
class Caught:
    """What one detector found of one twin.

    Parameters
    ----------
    trap, twin, detector : str
        ``twin`` is ``leaky`` or ``clean``.
    measure : str
        What ``number`` is: ``cuts``, ``rows``, ``Sharpe`` (annual) or ``IC``.
    number : float or None
        None where the detector has no say.
    limit : float
        Magnitude above which the twin is accused.
    """

    trap: str
    twin: str
    detector: str
    measure: str
    number: float | None
    limit: float

    @property
    def accused(self) -> bool:
        """Whether the number is beyond its limit, or not a number at all."""
        return self.number is not None and not abs(self.number) <= self.limit


def truncation(trap: Trap, twin: Twin, sources: Sequence[Feed]) -> Measured:
    """Count the cuts at which ending the bars changes what had been published."""
    return _changes(twin, sources, lambda _, held, t: held.on(held.panel.until(t + 1)))


def future_noise(trap: Trap, twin: Twin, sources: Sequence[Feed]) -> Measured:
    """Count the cuts at which other later bars change what had been published."""
    return _changes(twin, sources, lambda _, held, t: held.on(with_noise_after(held.panel, t)))


def as_known(trap: Trap, twin: Twin, sources: Sequence[Feed]) -> Measured:
    """Count the cuts at which loading only what was known then changes what had been published.

    For pipelines that read more than bars; of bars alone this is ``truncation``.
    """
    if twin.loads is None:
        return None
    return _changes(twin, sources, lambda source, _, t: twin.loaded(source.as_known(t)))


def fold_order(trap: Trap, twin: Twin, sources: Sequence[Feed]) -> Measured:
    """Count the training rows whose label isn't complete before their test begins."""
    if twin.splits is None:
        return None
    splits = twin.splits(len(sources[0].panel.dates))
    late = sum(int((s.train + trap.horizon >= s.test.min()).sum()) for s in splits)
    return float(late), 0.0


def on_null_market(trap: Trap, twin: Twin, sources: Sequence[Feed]) -> Measured:
    """Pool the streams of all markets: a Sharpe ratio a year, or a mean coefficient.

    The standard error of an annual Sharpe ratio around 0 is 1 / sqrt(years) (Lo, 2002), that of
    a mean of cross-sectional coefficients sqrt(horizon / (sessions (symbols - 1))), because
    labels that overlap say the same thing again.
    """
    streams: list[Floats] = []
    for source in sources:
        held = twin.loaded(source)
        earned = twin.earns(held, twin.publishes(held))
        streams.append(earned[np.isfinite(earned)])
    pooled, year = np.concatenate(streams), sources[0].panel.periods_per_year
    if len(pooled) < 2:
        return np.nan, 0.0
    if trap.measure == "IC":
        others = sources[0].panel.shape[0] - 1
        error = np.sqrt(trap.horizon / (len(pooled) * others))
        return float(pooled.mean()), float(ERRORS_ALLOWED * error)
    sharpe = pooled.mean() / max(float(pooled.std(ddof=1)), 1e-12) * np.sqrt(year)
    return float(sharpe), float(ERRORS_ALLOWED * np.sqrt(year / len(pooled)))


Detector = Callable[[Trap, Twin, Sequence[Feed]], Measured]

DETECTORS: dict[str, Detector] = {
    "truncation": truncation,
    "future noise": future_noise,
    "as known": as_known,
    "fold order": fold_order,
    "null market": on_null_market,
}


def catch(
    traps: Iterable[Trap] = TRAPS,
    seeds: Iterable[int] = SEEDS,
    *,
    progress: Progress | None = None,
) -> list[Caught]:
    """Try both twins of every trap with every detector.

    Parameters
    ----------
    traps : iterable of Trap
    seeds : iterable of int
        Of the null markets; the first ``CUT_MARKETS`` are also cut.
    progress : callable, optional
        Told how many of how many twins are done.

    Returns
    -------
    list of Caught
        By trap, twin (leaky, clean) and detector.
    """
    sources = [null_market(seed) for seed in seeds]
    pairs = [(trap, name, twin) for trap in traps for name, twin in trap.twins.items()]
    out = []
    for done, (trap, name, twin) in enumerate(pairs):
        for detector, detect in DETECTORS.items():
            number, limit = detect(trap, twin, sources) or (None, 0.0)
            measure = {"fold order": "rows", "null market": trap.measure}.get(detector, "cuts")
            out.append(Caught(trap.name, name, detector, measure, number, limit))
        if progress is not None:
            progress(done + 1, len(pairs))
    return out


def faults(rows: Sequence[Caught], traps: Iterable[Trap] = TRAPS) -> list[str]:
    """Say what is wrong with the detectors: a leak not seen, or an honest pipeline accused.

    A trap names the detectors that must see it, so that one that has gone blind is noticed even
    where another one still sees the leak.
    """
    accused = {(one.trap, one.twin, one.detector) for one in rows if one.accused}
    missed = [
        f"{detector} does not see {trap.name!r}"
        for trap in traps
        for detector in sorted(trap.seen_by)
        if (trap.name, "leaky", detector) not in accused
    ]
    wrong = [
        f"{detector} accuses the clean twin of {trap!r}"
        for trap, twin, detector in sorted(accused)
        if twin == "clean"
    ]
    return missed + wrong


def trap_cells(rows: Sequence[Caught]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and cells of a table: a trap each, with what every detector says of it."""
    names = list(dict.fromkeys(one.detector for one in rows if one.detector != "null market"))
    cells = []
    for trap in dict.fromkeys(one.trap for one in rows):
        found = {(one.twin, one.detector): one for one in rows if one.trap == trap}
        leaky, clean = found["leaky", "null market"], found["clean", "null market"]
        said = [_verdict(found["leaky", n], found["clean", n]) for n in (*names, "null market")]
        numbers = (f"{clean.number:.2f}", f"{leaky.limit:.2f}")
        cells.append((trap, *said, f"{leaky.measure} {leaky.number:.2f}", *numbers))
    return ("trap", *names, "null market", "leaky", "clean", "limit"), tuple(cells)


def trap_table(rows: Sequence[Caught]) -> list[str]:
    """Lines of a Markdown table of :func:`trap_cells`."""
    header, cells = trap_cells(rows)
    rule = f"|---{'|---' * (len(header) - 4)}|---:|---:|---:|"
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(line)} |" for line in cells)]


def _verdict(leaky: Caught, clean: Caught) -> str:
    """What one detector says of one trap, in a word."""
    if clean.accused:
        return "ACCUSES THE CLEAN TWIN"
    if leaky.accused:
        return "caught"
    return "" if leaky.number is None else "blind"


def _changes(
    twin: Twin, sources: Sequence[Feed], other: Callable[[Feed, Feed, int], Feed]
) -> Measured:
    """Count the cuts at which a twin says other things of the sessions up to the cut.

    ``other`` makes, from a source, what the twin holds of it and a session, what the twin is
    handed instead.
    """
    changed = 0
    for source in sources[:CUT_MARKETS]:
        held = twin.loaded(source)
        whole = twin.publishes(held)
        for t in _cuts(whole):
            said = twin.publishes(other(source, held, t))
            changed += not alike([whole[:, : t + 1]], [said[:, : t + 1]])
    return float(changed), 0.0


def _cuts(published: Floats) -> list[int]:
    """Choose where to cut: the fixed sessions, and where ``[row, time]`` moves most."""
    moved = np.abs(np.nan_to_num(np.diff(published, axis=1))).sum(axis=0)[CUTS[0] : CUTS[-1]]
    most = CUTS[0] + 1 + np.argsort(-moved, kind="stable")[:MOVES]
    return list(dict.fromkeys([*CUTS, *most.tolist()]))
