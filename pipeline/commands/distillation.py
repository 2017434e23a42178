"""A learner's student, distilled from what it proposed along a panel: weights and a report.

For: ``weathervane distil``. Not for: judging teacher or student for the gate: that is the
walk-forward's and the board's, where both are learners.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pipeline.commands.files import model_folder, write_bytes, write_json, write_parquet
from pipeline.commands.panels import PanelOptions, load_panel

if TYPE_CHECKING:
    from backtest.market.panel import Panel
    from ml.corpus import WalkSpec
    from ml.history import History
    from ml.teaching import Distillation, Teaching

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DistilOptions:
    """What is distilled, and how.

    Parameters
    ----------
    teacher : str
        Name in ``LEARNERS``.
    train : int
        Sessions before the teacher's first decision.
    seed : int
    """

    teacher: str = "ensemble"
    train: int = 756
    seed: int = 0


@dataclass(frozen=True)
class Distilled:
    """What a distillation came to.

    Parameters
    ----------
    told : dict
        Content of ``distillation.json``.
    seconds : dict of str to float
        Processor time of one close of the teacher, refits included, and of one proposal of the
        student; in no file, because no two runs have the same.
    """

    told: dict[str, Any]
    seconds: dict[str, float]


def run_distil(
    strategy: str,
    source: Path,
    *,
    out: Path,
    book: str = "dollar-neutral",
    cost_bps: float = 5.0,
    asked: DistilOptions | None = None,
    progress: Progress | None = None,
    **options: Unpack[PanelOptions],
) -> Distilled:
    """Walk a teacher over a panel, distil its proposals, and write what that came to.

    Parameters
    ----------
    cost_bps : float
        Per side.
    asked : DistilOptions, optional
    **options
        As in ``panels.PanelOptions``.

    Raises
    ------
    WeathervaneError
        Anything wrong in what was handed in; ``E_TOO_SHORT``: the panel, or what the teacher
        proposed, is too short.
    """
    from backtest.market.world_files import is_synthetic
    from backtest.strategy import STRATEGIES
    from ml.learner import LEARNERS
    from ml.teaching import distilled, require_teaching
    from ml.walkforward import require_history

    asked = asked or DistilOptions()
    STRATEGIES.get(strategy)
    LEARNERS.get(asked.teacher)
    spec = _spec(asked, book=book, cost_bps=cost_bps)
    folder, loaded = model_folder(out, "student"), load_panel(source, **options)
    sessions = len(loaded.panel.dates)
    require_history(sessions, spec.policy)
    require_teaching(sessions, spec.policy.train)
    history, teaching = _walked(loaded.panel, strategy, spec, progress)
    returns = history.strategies[strategy].returns
    made = distilled(
        history.state,
        returns,
        teaching.proposals,
        seed=asked.seed,
        cost=spec.cost,
    )
    about = {
        "strategy": strategy,
        "synthetic": is_synthetic(Path(source)),
        **vars(asked),
        **loaded.about(),
    }
    told = _told(made, teaching, history, about)
    _write(folder, made, teaching, history, told)
    loaded.write_quarantine(folder)
    return Distilled(told, _seconds(made, teaching, history))


def _spec(asked: DistilOptions, *, book: str, cost_bps: float) -> "WalkSpec":
    from backtest.engine.costs import cost_per_side
    from backtest.portfolio.book import checked_kind
    from ml.corpus import WalkSpec
    from ml.policy import PolicyConfig

    policy = PolicyConfig(learner=asked.teacher, train=asked.train)
    cost = cost_per_side(cost_bps)
    return WalkSpec(policy=policy, book=checked_kind(book), cost=cost, seed=asked.seed)


def _walked(
    panel: "Panel", strategy: str, spec: "WalkSpec", progress: Progress | None
) -> "tuple[History, Teaching]":
    """Sweep the candidates, and let the teacher decide at every close."""
    from ml.corpus import corpus, history_of
    from ml.teaching import taught

    def stage(name: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, total: progress(name, done, total)

    swept = corpus(panel, strategy, spec, progress=stage(f"sweep {strategy}"))
    history = history_of(panel, {strategy: swept})
    walked = taught(history, spec.policy, seed=spec.seed, progress=stage("teach"))
    return history, walked[strategy]


def _told(
    made: "Distillation", teaching: "Teaching", history: "History", about: dict[str, Any]
) -> dict[str, Any]:
    """Content of ``distillation.json``."""
    from ml.teaching import comparison

    days = history.dates
    return {
        **about,
        "judged": {"first": str(days[made.fits[0]]), "last": str(days[-2])},
        "fits": len(made.fits),
        "fitted_until": str(days[made.fits[-1] - 1]),
        "agreement": comparison(made, teaching.bytes),
        "today": teaching.today(history.strategies[about["strategy"]].grid),
    }


def _write(
    folder: Path,
    made: "Distillation",
    teaching: "Teaching",
    history: "History",
    told: dict[str, Any],
) -> None:
    """Weights, pictures, the members' table, and the report."""
    from backtest.member_plots import members_plot, student_plot

    shown = told["synthetic"]
    streams = {told["strategy"]: made.streams(history.dates)}
    write_bytes(folder / "student.png", student_plot(streams, synthetic=shown))
    grid = history.strategies[told["strategy"]].grid
    made.student.save(folder, columns=history.columns, grid=grid)
    if teaching.advisers:
        table = teaching.members(history.dates)
        write_parquet(folder / "members.parquet", table)
        drawn = members_plot({told["strategy"]: table}, synthetic=shown)
        write_bytes(folder / "members.png", drawn)
    write_json(folder / "distillation.json", told)


def _seconds(made: "Distillation", teaching: "Teaching", history: "History") -> dict[str, float]:
    from ml.distill import rows_of, seconds_of

    rows = rows_of(history.state)[made.fits[0] :]
    return {"teacher": teaching.seconds, "student": seconds_of(made.student, rows)}


def summary_lines(found: Distilled, out: Path) -> list[str]:
    """Say in a few lines how near the student comes, and how small and quick it is."""
    told, seconds = found.told, found.seconds
    said = told["agreement"]
    mark = "SYNTHETIC market, " if told["synthetic"] else ""
    bound = said["regret_bound"]
    lines = [
        f"{mark}{told['symbols']} symbols x {told['sessions']} sessions; student of "
        f"{told['teacher']}, judged on {said['sessions']} closes, each before it was fitted on it",
        f"rank agreement {_number(said['rank'])}, same heaviest set {_number(said['heaviest'])}, "
        f"capital in the same sets {said['overlap']:.2f}",
        f"Sharpe ratio per session: teacher {said['teacher_sharpe']:+.3f}, student "
        f"{said['student_sharpe']:+.3f}; regret {said['regret']:+.3f}, with 95 % at most "
        + _number(bound, "+.3f"),
        f"{said['bytes']:,} bytes where the teacher keeps {said['teacher_bytes']:,} "
        f"({said['compression']:.1f} times as many); {1e3 * seconds['student']:.2f} ms where it "
        f"takes {1e3 * seconds['teacher']:.1f} ms a close",
    ]
    if members := told["today"]["members"]:
        held = ", ".join(f"{name} {share:.2f}" for name, share in members.items())
        lines.append(f"members today: {held}; apart by {told['today']['disagreement']:.2f}")
    return [*lines, f"files: {out}"]


def _number(value: float | None, form: str = ".2f") -> str:
    return "undefined" if value is None else format(value, form)
