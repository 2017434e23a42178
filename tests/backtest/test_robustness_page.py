"""The section on robustness says in words what the tables hold, and is silent without them."""

import dataclasses
from datetime import date

import polars as pl
import pytest

from backtest.pages import Paragraph, Picture, Table
from backtest.report import report_files
from backtest.robustness_page import (
    costs_table,
    folds_table,
    interval_blocks,
    paths_line,
    robustness_blocks,
    robustness_pictures,
)
from tests.backtest.test_report import story

NAME = "rsi_swing"
SAID = {
    "folds": 2,
    "folds_positive": 0.5,
    "folds_above_static": 1.0,
    "in_sample_sharpe": 1.5,
    "stability": 0.875,
    "mix_change": 0.05,
    "heaviest_changed": 0.04,
    "best_sharpe": 0.9,
    "standard_error": 0.35,
    "near_best": 0.25,
    "plateaus": {"period": {"best": 40.0, "below": 1, "above": 0}},
    "edges": ["the best period is 40, the largest tried: widen the grid"],
    "paths": 9,
    "path_sharpe_mean": 0.4,
    "path_sharpe_low": -0.1,
    "path_sharpe_high": 0.6,
    "paths_below_zero": 1 / 9,
    "confidence": {
        "overall": {
            "sessions": 90,
            "said": 0.7,
            "happened": 0.8,
            "brier": 0.17,
            "brier_half": 0.25,
            "calibration_error": 0.1,
            "regimes": {"bull calm thin": {"sessions": 60, "said": 0.75, "happened": 0.9}},
        },
        "period": dict.fromkeys(
            ("said", "happened", "brier", "brier_half", "calibration_error"), None
        )
        | {"sessions": 0, "regimes": {}},
    },
    "intervals": {
        "coverage": 0.8,
        "sessions": 600,
        "effective": 20.0,
        "covered": 0.785,
        "width": 0.25,
        "low": -0.2,
        "high": 0.31,
        "regimes": {"bull calm thin": {"sessions": 90, "covered": 0.7, "width": 0.24}},
    },
    "reasons": {},
}


def fold(variant: str, number: int, sharpe: float | None, sessions: int = 40) -> dict:
    own = variant == "regime_aware"
    return {
        "strategy": NAME,
        "variant": variant,
        "fold": number,
        "first": date(2020, 1 + number, 1),
        "last": date(2020, 1 + number, 28),
        "sessions": sessions,
        "sharpe": sharpe,
        "net_return": 0.0123,
        "turnover": 30.0,
        "max_drawdown": 0.02,
        "in_sample_sharpe": 1.5 if own else None,
        "parameters": '{"direction":"momentum","period":40}' if own and number else None,
        "reason": None if sharpe is not None else "fewer than 3 sessions or no variance",
    }


def tables() -> dict[str, pl.DataFrame]:
    folds = [
        *(fold("regime_aware", 0, -1.25), fold("regime_aware", 1, 2.5, sessions=10)),
        *(fold("static", 0, -2.0), fold("static", 1, None, sessions=10)),
    ]
    values = [("5", -1, -0.5, -0.2, False, True), ("40", 0, 0.1, 0.9, True, True)]
    steps = [
        *((f"{NAME}", "period", *row) for row in values),
        (NAME, "direction", "momentum", None, 0.3, 0.9, True, True),
        (NAME, "direction", "reversion", None, -0.3, None, False, False),
    ]
    named = ("strategy", "parameter", "value", "steps", "mean", "along", "best", "plateau")
    stability = [
        (NAME, "stability", "", "", 0.875),
        (NAME, "share", "direction", "momentum", 0.75),
        (NAME, "share", "direction", "reversion", 0.25),
        (NAME, "mean", "period", "", 22.5),
        (NAME, "deviation", "period", "", None),
    ]
    of_stability = ("strategy", "statistic", "parameter", "category", "value")
    costs = [
        *((NAME, "static", point, 1.0, 0.5) for point in ("0", "5")),
        *((NAME, "regime_aware", point, 1.0, 1.5) for point in ("0", "5")),
        (NAME, "regime_aware", "break-even", 12.34, 0.0),
        (NAME, "static", "break-even", None, None),
    ]
    of_costs = ("strategy", "variant", "point", "cost_bps", "sharpe")
    said = [
        (NAME, "overall", "all", 0.65, 0.8, 0.4, 0.95),
        (NAME, "overall", "bull calm thin", 0.75, 0.9, 0.4, 1.0),
        (NAME, "period", "all", 0.55, 0.5, 0.1, 0.9),
    ]
    of_said = ("strategy", "event", "regime", "said", "happened", "low", "high")
    paths = {"strategy": [NAME] * 9, "sharpe": [0.1 * k - 0.05 for k in range(9)]}
    return {
        "folds": pl.DataFrame(folds),
        "sensitivity": pl.DataFrame(steps, schema=named, orient="row"),
        "stability": pl.DataFrame(stability, schema=of_stability, orient="row"),
        "costs": pl.DataFrame(costs, schema=of_costs, orient="row"),
        "paths": pl.DataFrame(paths),
        "reliability": pl.DataFrame(said, schema=of_said, orient="row"),
    }


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    told = story()
    swing = {**told.evidence["strategies"][NAME], "robustness": SAID}
    evidence = {**told.evidence, "strategies": {NAME: swing}}
    return report_files(dataclasses.replace(told, evidence=evidence, robustness=tables()))


def test_the_section_says_what_was_found(files: dict[str, bytes]):
    text = files["report.md"].decode()
    for said in (
        "## How robust it is",
        "Folds: 2, Sharpe ratio above 0 in 50% of them and above static in 100%.",
        "Expected in sample +1.50, out of sample +1.23.",
        "| 2020-01-01 to 2020-01-28 | cash | 40 | +1.50 | -1.25 | -2.00 | +1.2% | 2.0% | 30.0 |",
        "| direction momentum, period 40 | 10 | +1.50 | +2.50 | - |",
        "Stability 0.88",
        "| direction | momentum 75%, reversion 25% |",
        "| period | 22.5, deviation - |",
        "25% of the candidates lie within one standard error (0.35) of it.",
        "| period | 40 | 1 | 0 |",
        "> **Edge of the grid: the best period is 40, the largest tried: widen the grid.**",
        "Combinatorial paths of the choice without regimes: 9, Sharpe +0.40 on average, 5 % to",
        "95 % -0.10 to +0.60, 11% below 0.",
        "| regime_aware | +1.50 | +1.50 | 12.3 |",
        "| static | +0.50 | +0.50 | - |",
        "| overall | 90 | 70% | 80% | 0.170 | 0.250 | 0.100 |",
        "| period | 0 | - | - | - | - | - |",
        "Confidence in the mix by regime: bull calm thin 75% said, 90% happened (60 sessions).",
        "80% asked: 78% of 600 outcomes lay inside (20 horizons that do not overlap).",
        "the last one is -0.20 to +0.31.",
        "| bull calm thin | 90 | 70% | 0.24 |",
        "(folds.png)",
        "(reliability.png)",
        "(paths.png)",
        f"(sensitivity_{NAME}.png)",
    ):
        assert said in text, said
    assert "nan" not in text.lower()


def test_intervals_that_are_not_there_are_said_to_be_missing():
    bare = {**SAID["intervals"], "covered": None, "reason": "no claim is old enough"}
    assert interval_blocks(bare) == [
        Paragraph("Intervals around the day's best score: none, no claim is old enough.")
    ]
    open_end = {**SAID["intervals"], "low": None, "high": None}
    assert "the last one is unknown." in interval_blocks(open_end)[0].text


def test_its_pictures_are_drawn_the_same_twice():
    found = {"synthetic": True, "strategies": {NAME: {"robustness": SAID}}}
    first, again = (robustness_pictures(tables(), found) for _ in range(2))
    assert first == again
    assert [one.name for one in first] == [
        *("folds.png", f"sensitivity_{NAME}.png", "paths.png", "reliability.png")
    ]
    assert all(one.png.startswith(b"\x89PNG") for one in first)


def test_nothing_is_drawn_of_what_is_not_there():
    found = {"synthetic": False, "strategies": {NAME: {"robustness": SAID}}}
    bare = tables()
    for name in ("sensitivity", "paths", "reliability"):
        bare[name] = bare[name].head(0)
    assert [one.name for one in robustness_pictures(bare, found)] == ["folds.png"]
    assert robustness_pictures({}, found) == []
    assert robustness_blocks({}, found, {}) == []


def test_a_strategy_without_parameters_paths_or_selections():
    nothing = dict.fromkeys(
        ("stability", "heaviest_changed", "best_sharpe", "near_best", "path_sharpe_mean")
    )
    why = {"path_sharpe_mean": "fewer than 200 sessions"}
    said = {**SAID, **nothing, "plateaus": {}, "edges": [], "reasons": why}
    part = {"robustness": said, "variants": {"regime_aware": {"sharpe": None}}}
    found = {"synthetic": False, "strategies": {NAME: part}}
    bare = tables() | {"stability": tables()["stability"].head(1)}
    drawn = {"folds.png": Picture("folds.png", b"", "")}
    blocks = robustness_blocks(bare, found, drawn)
    texts = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert "Combinatorial paths: none, fewer than 200 sessions." in texts
    assert "Best candidate in hindsight: Sharpe -; - of the candidates lie within one standard" in (
        " ".join(texts)
    )
    assert (
        sum(isinstance(block, Table) for block in blocks) == 4
    )  # folds, costs, confidence, intervals
    assert paths_line(said) in texts


def test_tables_keep_the_order_of_variants_and_folds():
    shuffled = tables()["folds"].reverse()
    assert [row[0][:7] for row in folds_table(shuffled).rows] == ["2020-01", "2020-02"]
    table = costs_table(tables()["costs"])
    assert [row[0] for row in table.rows] == ["regime_aware", "static"]
    assert table.header == ("Sharpe at cost per side", "0 bps", "5 bps", "break-even bps")
