"""What a run saw and computed, as published files: one folder per content of the bars.

For: writing and reading them under their names, with their SHA-256. Not for: rows that are kept
in versions (``store``) or documents that leave the house (``exports``).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError
from pipeline.publish import (
    Published,
    publish_bytes,
    publish_frame,
    read_frame,
    read_published,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from backtest.market.panel import Panel
    from ml.regime import RegimeFit, RegimeModel
    from ml.regime_track import RegimeTrack
    from ml.corpus import Corpus, WalkSpec
    from pipeline.config import Home, Settings
    from pipeline.provider import Fetched

    Days = npt.NDArray[np.datetime64]
_STREAMS = ("net_return", "turnover")


@dataclass(frozen=True)
class Snapshot:
    """What a run saw: written by ``bars``, read by everything after it.

    Parameters
    ----------
    snapshot : str
        Content hash of the bars.
    universe, source : str
    synthetic : bool
    first, last : str
        Sessions, ISO.
    symbols, rows, quarantined, missing : int
    calendar : str
        Of most symbols.
    notes : tuple of str
        What a reader of the report should know.
    reasons : dict of str to int
        Quarantined rows by rule.
    """

    snapshot: str
    universe: str
    source: str
    synthetic: bool
    first: str
    last: str
    symbols: int
    rows: int
    quarantined: int
    missing: int
    calendar: str
    notes: tuple[str, ...] = ()
    reasons: dict[str, int] | None = None


class Snapshots:
    """Published files of one home for one set of settings.

    Parameters
    ----------
    home : Home
    settings : Settings
    """

    def __init__(self, home: "Home", settings: "Settings"):
        self.home = home
        self.settings = settings

    def keep_raw(self, fetched: "Fetched") -> Published:
        """Publish a provider's answer until the next one."""
        facts = {"source": fetched.source, "synthetic": fetched.synthetic}
        self.publish_values(self._raw().with_suffix(".json"), facts)
        return self.publish(self._raw(), fetched.raw)

    def raw(self) -> "Fetched":
        """Return what the provider answered last."""
        from pipeline.provider import Fetched

        return Fetched(raw=self.frame(self._raw()), **self.values(self._raw().with_suffix(".json")))

    def take(self, fetched: "Fetched", *, bars: "pl.DataFrame", **facts: Any) -> Snapshot:
        """Publish the bars that a run sees and make them the current snapshot.

        Parameters
        ----------
        fetched : Fetched
            Where they came from.
        bars : polars.DataFrame
        **facts
            ``quarantined`` (the frame), ``missing`` and ``notes``.
        """
        from backtest.market.calendar import calendars_of
        from pipeline.store import content_hash

        names = list(calendars_of(bars, self.settings.data.calendar).values())
        rules = facts["quarantined"]["rule"].value_counts().sort("rule")
        taken = Snapshot(
            snapshot=content_hash(bars),
            universe=self.settings.universe,
            source=fetched.source,
            synthetic=fetched.synthetic,
            first=str(bars["date"].min()),
            last=str(bars["date"].max()),
            symbols=bars["symbol"].n_unique(),
            rows=bars.height,
            quarantined=facts["quarantined"].height,
            missing=facts["missing"],
            calendar=max(sorted(set(names)), key=names.count),
            notes=tuple(facts["notes"]),
            reasons=dict(rules.iter_rows()),
        )
        self.publish(self.folder(taken) / "bars.parquet", bars)
        self.publish_values(self._pointer(), asdict(taken))
        return taken

    def current(self) -> Snapshot:
        """Return what the last run with these settings saw."""
        path = self._pointer()
        if not path.is_file():
            raise StoreError(
                "no snapshot yet for these settings",
                where=str(path),
                fix="materialise the asset bars first",
                code="E_MISSING",
            )
        content = self.values(path)
        return Snapshot(**{**content, "notes": tuple(content["notes"])})

    def folder(self, snapshot: Snapshot) -> Path:
        """Folder of what depends on the bars alone."""
        return self.home.snapshots / snapshot.snapshot[:16]

    def research(self, snapshot: Snapshot) -> Path:
        """Folder of what depends on the settings, too."""
        return self.folder(snapshot) / f"research-{self.settings.hash()[:12]}"

    def bars(self, snapshot: Snapshot) -> "pl.DataFrame":
        """Bars of a snapshot."""
        return self.frame(self.folder(snapshot) / "bars.parquet")

    def panel(self, snapshot: Snapshot) -> "Panel":
        """Bars of a snapshot, aligned."""
        from backtest.market.calendar import periods_per_year
        from backtest.market.panel import Panel

        periods = periods_per_year(snapshot.calendar)
        return Panel.from_frame(self.bars(snapshot), periods_per_year=periods)

    def regimes(
        self, snapshot: Snapshot, *, fits: "dict[int, RegimeFit] | None" = None
    ) -> "RegimeTrack":
        """Lay the regime schedule over the snapshot's market state.

        Parameters
        ----------
        snapshot : Snapshot
        fits : dict of int to RegimeFit, optional
            Those to go on from; those that were kept if missing.
        """
        from ml.market_state import state_matrix
        from ml.regime import REGIMES
        from ml.regime_track import track

        policy, model = self.settings.policy, REGIMES.get(self.settings.policy.regime_model)
        frame = self.frame(self.folder(snapshot) / "market_state.parquet")
        state, columns = state_matrix(frame)
        return track(
            state,
            columns,
            model,
            train=policy.train,
            refit=policy.refit,
            seed=self.settings.seed,
            dates=frame["date"].to_numpy().astype("datetime64[D]"),
            fits=self._fits(snapshot, model) if fits is None else fits,
        )

    def keep_fits(self, snapshot: Snapshot, lane: "RegimeTrack") -> Published:
        """Publish every fit of a track: weights as safetensors, plain values as JSON."""
        import safetensors.numpy

        fits = sorted(lane.fits.items())
        weights = {f"{i}/{name}": part for i, fit in fits for name, part in fit.arrays().items()}
        path = self._fit_file(snapshot)
        self.publish_values(path.with_suffix(".json"), {str(i): fit.config() for i, fit in fits})
        return publish_bytes(path, safetensors.numpy.save(weights))

    def _fits(self, snapshot: Snapshot, model: "RegimeModel") -> "dict[int, RegimeFit]":
        """Fits that are kept for these settings; none before ``regime_model`` was made."""
        import safetensors.numpy

        path = self._fit_file(snapshot)
        if not path.is_file():
            return {}
        weights = safetensors.numpy.load(read_published(path))
        out = {}
        for index, config in self.values(path.with_suffix(".json")).items():
            start = f"{index}/"
            own = {n.removeprefix(start): a for n, a in weights.items() if n.startswith(start)}
            out[int(index)] = model.restore(own, config)
        return out

    def _fit_file(self, snapshot: Snapshot) -> Path:
        return self.research(snapshot) / "regime_model.safetensors"

    def spec(self, snapshot: Snapshot) -> "WalkSpec":
        """Say what a walk-forward with these settings is told."""
        from backtest.engine.costs import cost_per_side
        from ml.corpus import WalkSpec

        settings = self.settings
        return WalkSpec(
            policy=settings.policy,
            gate=settings.gate,
            book=settings.book.kind,
            cost=cost_per_side(settings.costs.cost_bps),
            seed=settings.seed,
            universe=settings.universe,
            synthetic=snapshot.synthetic,
        )

    def keep_corpus(self, snapshot: Snapshot, strategy: str, dates: "Days", swept: "Corpus") -> int:
        """Publish a swept corpus: one column of net book returns and of turnover per set."""
        import polars as pl

        for kind in _STREAMS:
            columns = {f"p{i}": row for i, row in enumerate(getattr(swept.book, kind))}
            frame = pl.DataFrame({"date": dates, **columns})
            self.publish(self._corpus(snapshot, strategy, f"-{kind}.parquet"), frame)
        facts = {
            "rows": swept.grid.rows(),
            "candidates": swept.candidates,
            "default": swept.default,
            "incumbent": swept.incumbent,
        }
        self.publish_values(self._corpus(snapshot, strategy, ".json"), facts)
        return swept.grid.size

    def corpora(self, snapshot: Snapshot) -> "dict[str, Corpus]":
        """Read the swept corpus of every strategy."""
        import numpy as np

        from backtest.params import ParamGrid
        from backtest.result import BookResult
        from backtest.strategy import STRATEGIES
        from ml.corpus import Corpus

        out = {}
        for name in self.settings.strategies.names:
            streams = [
                self.frame(self._corpus(snapshot, name, f"-{kind}.parquet")).drop("date")
                for kind in _STREAMS
            ]
            streams = [np.ascontiguousarray(one.to_numpy().T) for one in streams]  # [P, T]
            facts = self.values(self._corpus(snapshot, name, ".json"))
            grid = ParamGrid.of(STRATEGIES.get(name).params, facts.pop("rows"))
            out[name] = Corpus(grid=grid, book=BookResult(*streams), **facts)
        return out

    def _corpus(self, snapshot: Snapshot, strategy: str, end: str) -> Path:
        return self.research(snapshot) / "corpus" / f"{strategy}{end}"

    def frame(self, path: Path) -> "pl.DataFrame":
        """Read a published frame after checking its SHA-256."""
        return read_frame(path)

    def publish(self, path: Path, frame: "pl.DataFrame") -> Published:
        """Publish a frame with its SHA-256; equal content is not rewritten."""
        return publish_frame(path, frame)

    def values(self, path: Path) -> Any:
        """Read a published JSON file after checking its SHA-256."""
        return json.loads(read_published(path))

    def publish_values(self, path: Path, content: Any) -> Published:
        """Publish plain values as JSON; equal content is not rewritten."""
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        return publish_bytes(path, text.encode())

    def _raw(self) -> Path:
        name = f"{self.settings.universe}.parquet"
        return self.home.snapshots / "raw" / name

    def _pointer(self) -> Path:
        name = f"current-{self.settings.universe}-{self.settings.hash()[:12]}.json"
        return self.home.snapshots / name
