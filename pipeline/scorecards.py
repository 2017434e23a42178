"""The scorecard: markets with a known truth in parallel, one card each, one page over all.

For: making it in a folder, for the command ``prove`` and the asset ``scorecard``. Not for: what a
card or the page holds (``ml.proof``).

A card is a file of its own (``pipeline.cells``), so that a run that was cut short goes on where it
stopped, and changed code or terms make new cards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cells import Progress, cell_key, make_cells, plain_json
from pipeline.planted import load_truth
from pipeline.publish import replace_file

if TYPE_CHECKING:
    from ml.proof.card import Card, Terms
    from ml.proof.scorecard_page import Leaks

FIRST_SEED = 1001
SHORT_SEEDS = 2


@dataclass(frozen=True)
class Task:
    """One market to walk: a world and a seed, or a folder with bars and their truth."""

    world: str
    seed: int
    terms: "Terms"
    source: Path | None = None

    @property
    def name(self) -> str:
        """File name of the card, without its ending."""
        sources = () if self.source is None else (self.source,)
        return f"{self.world}-{self.seed}-{cell_key(self.terms, sources=sources)}"

    def walk(self) -> "Card":
        """Make the card."""
        from ml.proof.card import market_card, synthetic_card

        if self.source is None:
            return synthetic_card(self.world, self.seed, self.terms)  # type: ignore[arg-type]
        panel, truth = load_truth(self.source)
        return market_card(panel, truth, self.terms, world=self.world, seed=self.seed)


@dataclass(frozen=True)
class Proof:
    """What a scorecard says, and which of its goals were missed."""

    values: dict[str, Any]
    missed: tuple[str, ...]


def run_proof(
    out: Path,
    *,
    seeds: int | None = None,
    worlds: Sequence[str] | None = None,
    data: Sequence[Path] = (),
    short: bool = False,
    first_seed: int = FIRST_SEED,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Walk every market and write the page.

    Parameters
    ----------
    out : pathlib.Path
        Cards are kept in its folder ``cards``; those that are there already are not made again.
    seeds : int, optional
        Of every world; the long form's numbers by default.
    worlds : sequence of str, optional
        All by default; none where ``data`` is given.
    data : sequence of pathlib.Path
        Folders with bars and ``truth.parquet``, of any generator; each is a world of its own.
    short : bool
        Small markets, two seeds, no proof of leaks: shows the page, judges nothing.
    workers : int, optional
        Processes; one per core by default.

    Raises
    ------
    DataError
        ``E_TRUTH``: a folder without the truth of its bars.
    """
    from ml.proof.card import SHORT, Card, Terms
    from ml.proof.scorecard import LONG
    from ml.proof.scorecard_page import scorecard_files, scorecard_values
    from ml.walkforward import require_history

    terms = SHORT if short else Terms()
    chosen = list(dict.fromkeys(worlds if worlds is not None else () if data else LONG))
    counts = {w: seeds or (SHORT_SEEDS if short else LONG[w]) for w in chosen}
    tasks = [Task(w, first_seed + k, terms) for w in chosen for k in range(counts[w])]
    for one in data:  # before minutes are spent on other markets
        require_history(len(load_truth(one)[0].dates), terms.policy, fix="give more history")
    tasks += [Task(f"files {one.resolve().name}", 0, terms, one) for one in data]
    kept = out / "cards"
    cards = [Card.of(one) for one in make_cells(tasks, kept, workers=workers, progress=progress)]
    leaks = None if short else _leaks(out)
    for name, content in scorecard_files(cards, terms, leaks=leaks).items():
        replace_file(out / name, content)
    values = scorecard_values(cards, leaks=leaks)
    replace_file(out / "scorecard.json", plain_json(values))
    missed = [f"{g['world']}: {g['name']}" for g in values["goals"] if g["status"] == "missed"]
    return Proof(values, tuple(missed))


def _leaks(out: Path) -> "Leaks":
    """Prove the code's parts causal and the detectors awake, once for each version of the code."""
    from ml.proof.leaks import Finding
    from ml.proof.scorecard_page import Leaks
    from ml.proof.traps import Caught
    from pipeline.proven import leak_findings, trap_findings

    return Leaks(
        tuple(Finding(**{**one, "guilty": tuple(one["guilty"])}) for one in leak_findings(out)),
        tuple(Caught(**one) for one in trap_findings(out)),
    )
