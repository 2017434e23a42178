"""What research makes of one snapshot under one set of settings, as published files.

For: regime fits, swept corpora, the fold of the walk-forward and what the gate registered, each
written by one asset and read by the next. Not for: computing them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError
from pipeline.publish import Published, publish_bytes, publish_frame, read_frame, read_published

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from backtest.market.panel import Panel
    from backtest.pages import Picture
    from ml.corpus import Corpus, WalkSpec
    from ml.export.packing import Step
    from ml.history import History
    from ml.parameter_table import ParameterTable
    from ml.regime import RegimeFit, RegimeModel
    from ml.regime_track import RegimeTrack
    from ml.robustness.record import WalkRecord
    from ml.walkforward import WalkForward
    from pipeline.snapshots import Snapshot, Snapshots

    Days = npt.NDArray[np.datetime64]

_STREAMS = ("net_return", "turnover")


@dataclass(frozen=True)
class Workbench:
    """Files of one research.

    Parameters
    ----------
    files : Snapshots
    snapshot : Snapshot
        What it saw.
    folder : pathlib.Path
        Where its files lie.
    """

    files: "Snapshots"
    snapshot: "Snapshot"
    folder: Path

    def frame(self, name: str) -> "pl.DataFrame":
        """Read a frame after checking its SHA-256."""
        return read_frame(self.folder / f"{name}.parquet")

    def keep(self, name: str, frame: "pl.DataFrame") -> Published:
        """Publish a frame; equal content is not rewritten."""
        return publish_frame(self.folder / f"{name}.parquet", frame)

    def text(self, name: str) -> str:
        """Read a JSON text after checking its SHA-256."""
        return read_published(self.folder / f"{name}.json").decode()

    def values(self, name: str) -> Any:
        """Read plain values after checking their SHA-256."""
        return json.loads(self.text(name))

    def keep_values(self, name: str, content: Any) -> Published:
        """Publish plain values as JSON; equal content is not rewritten."""
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        return publish_bytes(self.folder / f"{name}.json", text.encode())

    def spec(self) -> "WalkSpec":
        """Say what a walk-forward with these settings is told."""
        from backtest.engine.costs import cost_per_side
        from ml.corpus import WalkSpec

        settings = self.files.settings
        return WalkSpec(
            policy=settings.policy,
            gate=settings.gate,
            book=settings.book.kind,
            cost=cost_per_side(settings.costs.cost_bps),
            seed=settings.seed,
            universe=settings.universe,
            synthetic=self.snapshot.synthetic,
        )

    def regimes(self, *, fits: "dict[int, RegimeFit] | None" = None) -> "RegimeTrack":
        """Lay the regime schedule over the snapshot's market state.

        Parameters
        ----------
        fits : dict of int to RegimeFit, optional
            Those to go on from; those that were kept if missing.
        """
        from ml.market_state import state_matrix
        from ml.regime import REGIMES
        from ml.regime_track import track

        settings = self.files.settings
        model = REGIMES.get(settings.policy.regime_model)
        frame = read_frame(self.files.folder(self.snapshot) / "market_state.parquet")
        state, columns = state_matrix(frame)
        return track(
            state,
            columns,
            model,
            train=settings.policy.train,
            refit=settings.policy.refit,
            seed=settings.seed,
            dates=frame["date"].to_numpy().astype("datetime64[D]"),
            fits=self._fits(model) if fits is None else fits,
        )

    def keep_fits(self, lane: "RegimeTrack") -> Published:
        """Publish every fit of a track: weights as safetensors, plain values as JSON."""
        import safetensors.numpy

        fits = sorted(lane.fits.items())
        weights = {f"{i}/{name}": part for i, fit in fits for name, part in fit.arrays().items()}
        self.keep_values("regime_model", {str(i): fit.config() for i, fit in fits})
        path = self.folder / "regime_model.safetensors"
        return publish_bytes(path, safetensors.numpy.save(weights))

    def _fits(self, model: "RegimeModel") -> "dict[int, RegimeFit]":
        """Fits that were kept."""
        import safetensors.numpy

        weights = safetensors.numpy.load(read_published(self.folder / "regime_model.safetensors"))
        out = {}
        for index, config in self.values("regime_model").items():
            start = f"{index}/"
            own = {n.removeprefix(start): a for n, a in weights.items() if n.startswith(start)}
            out[int(index)] = model.restore(own, config)
        return out

    def keep_corpus(self, strategy: str, dates: "Days", swept: "Corpus") -> int:
        """Publish a swept corpus, one column per set; the number of sets."""
        import polars as pl

        for kind in _STREAMS:
            columns = {f"p{i}": row for i, row in enumerate(getattr(swept.book, kind))}
            self.keep(f"corpus/{strategy}-{kind}", pl.DataFrame({"date": dates, **columns}))
        facts = {
            "rows": swept.grid.rows(),
            "candidates": swept.candidates,
            "default": swept.default,
            "incumbent": swept.incumbent,
        }
        self.keep_values(f"corpus/{strategy}", facts)
        return swept.grid.size

    def corpora(self) -> "dict[str, Corpus]":
        """Read the swept corpus of every strategy."""
        import numpy as np

        from backtest.params import ParamGrid
        from backtest.result import BookResult
        from backtest.strategy import STRATEGIES
        from ml.corpus import Corpus

        out = {}
        for name in self.files.settings.strategies.names:
            frames = [self.frame(f"corpus/{name}-{kind}").drop("date") for kind in _STREAMS]
            streams = [np.ascontiguousarray(one.to_numpy().T) for one in frames]  # [P, T]
            facts = self.values(f"corpus/{name}")
            grid = ParamGrid.of(STRATEGIES.get(name).params, facts.pop("rows"))
            out[name] = Corpus(grid=grid, book=BookResult(*streams), **facts)
        return out

    def history(self) -> "History":
        """Candidates' returns and the market's state on the snapshot's sessions."""
        from ml.corpus import history_of
        from ml.market_state import state_matrix

        state = state_matrix(read_frame(self.files.folder(self.snapshot) / "market_state.parquet"))
        return history_of(self.files.panel(self.snapshot), self.corpora(), state=state)

    def walk(
        self,
        panel: "Panel",
        *,
        ledger: "pl.DataFrame",
        progress: "Callable[[str, int, int], None]",
    ) -> "WalkForward":
        """Fold the decision path over the snapshot's panel, from corpus and fits that are kept."""
        from ml.walkforward import walk_forward

        lane = self.regimes()
        return walk_forward(
            panel,
            self.files.settings.strategies.names,
            self.spec(),
            state=(lane.state, lane.columns),
            corpora=self.corpora(),
            fits=lane.fits,
            ledger=ledger,
            progress=progress,
        )

    def table(self) -> "ParameterTable":
        """Take the table behind the last session's decision."""
        from ml.corpus import history_of
        from ml.parameter_table import parameter_table

        settings, lane = self.files.settings, self.regimes()
        panel = self.files.panel(self.snapshot)
        history = history_of(panel, self.corpora(), state=(lane.state, lane.columns))
        return parameter_table(history, settings.policy, seed=settings.seed, fits=lane.fits)

    def keep_table(self, table: "ParameterTable") -> Published:
        """Publish a table: rows for people, arrays and what they are for programs."""
        import safetensors.numpy

        self.keep("parameter_model", table.frame())
        self.keep_values("parameter_model", table.config)
        weights = {name: table.arrays[name] for name in sorted(table.arrays)}
        path = self.folder / "parameter_model.safetensors"
        return publish_bytes(path, safetensors.numpy.save(weights))

    def kept_table(self) -> "ParameterTable":
        """Read the table that was kept."""
        import safetensors.numpy

        from ml.parameter_table import ParameterTable

        content = read_published(self.folder / "parameter_model.safetensors")
        return ParameterTable(safetensors.numpy.load(content), self.values("parameter_model"))

    def report_folder(self) -> Path:
        """Where the report of this session lies."""
        return self.files.home.reports / self.snapshot.universe / self.snapshot.last

    def keep_report(self, quarantined: "pl.DataFrame") -> "tuple[Path, list[Picture]]":
        """Publish the report of the walk: Markdown with its plots, and HTML that holds them.

        Returns
        -------
        path : pathlib.Path
            Of the HTML file.
        drawn : list of Picture
        """
        from backtest.pages import to_html, to_markdown
        from backtest.report import Story, pictures, price_index, report_blocks

        seen = self.snapshot
        story = Story(
            title=f"{seen.universe}, session {seen.last}",
            evidence=self.values("evidence"),
            returns=self.frame("returns"),
            decisions=self.frame("decisions"),
            regimes=self.frame("regimes"),
            prices=price_index(self.files.bars(seen)),
            quarantined=quarantined,
            facts=seen.facts(),
            robustness=self.robustness(),
        )
        drawn = pictures(story)
        blocks, folder = report_blocks(story, drawn), self.report_folder()
        for one in drawn:
            publish_bytes(folder / one.name, one.png)
        publish_bytes(folder / "report.md", to_markdown(blocks).encode())
        page = folder / "report.html"
        publish_bytes(page, to_html(blocks, title=story.title).encode())
        return page, drawn

    def keep_fold(self, walk: "WalkForward") -> Published:
        """Publish every session of a walk's fold: proposal, verdict, what was exported."""
        import polars as pl

        from ml.export.packing import Step, packed

        rows = []
        for name, one in walk.strategies.items():
            at = None if one.promoted_at is None else walk.dates[one.promoted_at].item()
            for proposal, verdict, run in zip(
                one.decisions, one.verdicts, one.exported, strict=True
            ):
                day = date.fromisoformat(proposal.date)
                promoted_at = at if at is not None and at <= day else None
                step = packed(Step(proposal, verdict, run, promoted_at))
                rows.append((day, name, json.dumps(step, sort_keys=True)))
        schema = {"date": pl.Date, "strategy": pl.String, "step": pl.String}
        return self.keep("fold", pl.DataFrame(rows, schema=schema, orient="row"))

    def records(self) -> "dict[str, WalkRecord]":
        """Read what the robustness of each strategy is computed from."""
        import polars as pl

        from ml.export.packing import unpacked
        from ml.robustness.record import WalkRecord

        panel, fold, returns = self.files.panel(self.snapshot), self.frame("fold"), {}
        for row in self.frame("returns").partition_by("strategy", "variant"):
            strategy, variant = row.select("strategy", "variant").row(0)
            returns.setdefault(strategy, {})[variant] = row
        out = {}
        for name, swept in self.corpora().items():
            texts = fold.filter(pl.col("strategy") == name).sort("date")["step"]
            kept = {
                kind: {variant: row[kind].to_numpy() for variant, row in returns[name].items()}
                for kind in _STREAMS
            }
            out[name] = WalkRecord(
                dates=panel.dates,
                start=self.files.settings.policy.train,
                periods_per_year=panel.periods_per_year,
                cost=self.spec().cost,
                policy=self.files.settings.policy,
                corpus=swept,
                decisions=tuple(
                    unpacked(json.loads(text), swept.grid, candidates=swept.candidates).decision
                    for text in texts
                ),
                net=kept["net_return"],
                turnover=kept["turnover"],
            )
        return out

    def keep_robustness(self, tables: "Mapping[str, pl.DataFrame]") -> None:
        """Publish the robustness tables."""
        for name, frame in tables.items():
            self.keep(f"robustness/{name}", frame)

    def robustness(self) -> "dict[str, pl.DataFrame]":
        """Read the robustness tables that were kept."""
        from ml.robustness.tables import TABLES

        return {name: self.frame(f"robustness/{name}") for name in TABLES}

    def steps(self, day: date) -> "dict[str, tuple[Corpus, Step]]":
        """Read the fold's state at the close of a session, by strategy.

        Raises
        ------
        DataError
            ``E_SESSION``: the fold has no such session.
        """
        import polars as pl

        from ml.export.packing import unpacked

        fold, corpora = self.frame("fold"), self.corpora()
        found = fold.filter(pl.col("date") == day)
        if found.is_empty():
            raise DataError(
                f"no decision at session {day}",
                where=f"decisions run from {fold['date'].min()} to {fold['date'].max()}",
                fix="ask for one of them, or run the chain up to that session",
                code="E_SESSION",
            )
        return {
            name: (
                corpora[name],
                unpacked(json.loads(text), corpora[name].grid, candidates=corpora[name].candidates),
            )
            for name, text in found.select("strategy", "step").iter_rows()
        }
