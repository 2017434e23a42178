"""The whole evidence on a panel, outside Dagster, with an empty trial ledger.

For: ``weathervane walk-forward``. Not for: the daily chain, which folds the same decision path
over what the store holds.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import ConfigError
from pipeline.commands.files import (
    read_json,
    results_folder,
    write_bytes,
    write_json,
    write_parquet,
)
from pipeline.commands.panels import Loaded, PanelOptions, load_panel

if TYPE_CHECKING:
    import polars as pl

    from ml.policy import PolicyConfig
    from ml.walkforward import WalkForward

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Walked:
    """What a walk-forward found.

    Parameters
    ----------
    walk : WalkForward
    evidence : dict
        Content of ``evidence.json``.
    """

    walk: "WalkForward"
    evidence: dict[str, Any]


def run_walk_forward(
    source: Path,
    *,
    out: Path,
    strategies: Sequence[str] = ("rsi_swing",),
    book: str = "dollar-neutral",
    train: int = 756,
    step: int = 5,
    refit: int = 125,
    window: str = "anchored",
    cost_bps: float = 5.0,
    incumbent: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Unpack[PanelOptions],
) -> Walked:
    """Fold the decision path over a panel and write tables, evidence and report.

    Parameters
    ----------
    incumbent : pathlib.Path, optional
        JSON: parameters by strategy, or those of the only strategy.
    **options
        As in ``panels.PanelOptions``.

    Raises
    ------
    WeathervaneError
        Anything wrong in what was handed in; ``E_TOO_SHORT`` for too few sessions.
    """
    from backtest.engine.costs import cost_per_side
    from backtest.market.world_files import is_synthetic
    from backtest.portfolio.book import checked_kind
    from backtest.strategy import STRATEGIES
    from ml.corpus import WalkSpec, incumbents_of
    from ml.robustness.tables import findings_of, joined
    from ml.walk_tables import evidence_of, records_of
    from ml.walkforward import breadth_note, walk_forward

    names = list(dict.fromkeys(strategies))
    for name in names:
        STRATEGIES.get(name)
    spec = WalkSpec(
        policy=_policy(train=train, step=step, refit=refit, window=window),
        book=checked_kind(book),
        cost=cost_per_side(cost_bps),
        incumbent={} if incumbent is None else incumbents_of(read_json(incumbent), names),
        seed=seed,
        synthetic=is_synthetic(Path(source)),
    )
    loaded = load_panel(source, **options)
    if narrow := breadth_note(loaded.panel):
        logger.warning(narrow)
        loaded = replace(loaded, notes=(*loaded.notes, narrow))
    walk = walk_forward(loaded.panel, names, spec, progress=progress)
    findings = findings_of(records_of(walk))
    evidence = evidence_of(walk, findings=findings).model_dump(mode="json")
    found = Walked(walk, evidence)
    _write(found, joined(findings), loaded, source=source, folder=results_folder(out))
    return found


def summary_lines(evidence: dict[str, Any], out: Path) -> list[str]:
    """Say in a few lines what the evidence shows."""
    mark = "SYNTHETIC market, " if evidence["synthetic"] else ""
    lines = [f"{mark}out of sample {evidence['first']} to {evidence['last']}"]
    for name, part in evidence["strategies"].items():
        verdict = f"promoted on {part['promoted_at']}" if part["promoted"] else "hold"
        counted = f"{part['policies']} policies of this run alone counted, no earlier ones"
        lines.append(f"{name}: {verdict} ({counted})")
        for variant, found in part["variants"].items():
            sharpe = "undefined" if found["sharpe"] is None else f"{found['sharpe']:+.2f}"
            lines.append(
                f"  {variant:<20} Sharpe {sharpe:>9}   turnover {found['turnover']:6.1f} a year"
            )
    return [*lines, evidence["claim"]["reason"], f"report: {out / 'report.html'}"]


def _policy(**values: Any) -> "PolicyConfig":
    from pydantic import ValidationError

    from ml.policy import PolicyConfig

    try:
        return PolicyConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from None


def _write(
    found: Walked,
    robustness: "dict[str, pl.DataFrame]",
    loaded: Loaded,
    *,
    source: Path,
    folder: Path,
) -> None:
    """Write the tables, the evidence, the report and what was set aside."""
    from backtest.report import Story, price_index, report_files
    from ml import walk_tables

    walk, evidence = found.walk, found.evidence
    tables = {
        "decisions": walk_tables.decisions_frame(walk),
        "returns": walk_tables.returns_frame(walk),
        "regimes": walk_tables.regimes_frame(walk),
        "trials": walk_tables.trials_frame(walk),
    }
    for name, frame in {**tables, **robustness}.items():
        write_parquet(folder / f"{name}.parquet", frame)
    write_json(folder / "evidence.json", evidence)
    loaded.write_quarantine(folder)
    symbols, sessions = loaded.panel.shape
    story = Story(
        title=f"Walk-forward of {', '.join(walk.strategies)}",
        evidence=evidence,
        returns=tables["returns"],
        decisions=tables["decisions"],
        regimes=tables["regimes"],
        prices=price_index(loaded.prepared.bars),
        quarantined=loaded.prepared.quarantined,
        facts={
            "source": str(source),
            "panel": f"{symbols} symbols, {sessions} sessions",
            **{f"note {i}": note for i, note in enumerate(loaded.notes, start=1)},
        },
        robustness=robustness,
    )
    for name, content in report_files(story).items():
        write_bytes(folder / name, content)
