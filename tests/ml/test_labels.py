"""Labels by hand, and what holds for every registered one."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from backtest.errors import UnknownNameError
from backtest.seeds import generator
from ml.labels import BARRIER, HORIZONS, LABELS, SECTOR_MEMBERS, label_plan
from ml.proof.leak_market import market

FIRST = date(2020, 1, 1)
BARS = market().frame()
FULL = label_plan(BARS.lazy()).collect()


def bars_of(
    closes: list[float], opens: list[float] | None = None, *, symbol: str = "A", sector: str = ""
) -> pl.DataFrame:
    """One symbol's bars on consecutive days; each opens at its close unless opens are given."""
    return pl.DataFrame(
        {
            "symbol": symbol,
            "date": [FIRST + timedelta(days=k) for k in range(len(closes))],
            "open": opens or closes,
            "close": closes,
            "sector": sector,
        }
    )


def column(bars: pl.DataFrame, name: str) -> list[float | None]:
    return label_plan(bars.lazy(), [name]).collect()[name].to_list()


def by_date(bars: pl.DataFrame, name: str, day: int) -> dict[str, float | None]:
    rows = label_plan(bars.lazy(), [name]).collect()
    rows = rows.filter(pl.col("date") == FIRST + timedelta(days=day))
    return dict(zip(rows["symbol"], rows[name], strict=True))


def test_a_return_is_earned_from_the_next_open_to_the_close_at_the_horizon():
    bars = bars_of([10.0, 12.0, 9.0, 11.0], [1.0, 8.0, 10.0, 11.0])
    assert column(bars, "y_return_1") == pytest.approx([0.5, -0.1, 0.0, None])
    long = bars_of([float(k) for k in range(1, 8)], [2.0] * 7)
    assert column(long, "y_return_5") == [2.0, 2.5, None, None, None, None, None]


def test_a_direction_is_up_or_not_and_unknown_is_no_class():
    bars = bars_of([10.0, 12.0, 9.0, 11.0], [1.0, 8.0, 10.0, 11.0])
    assert column(bars, "y_direction_1") == [1.0, 0.0, 0.0, None]


def ranked(changes: dict[str, float], sectors: dict[str, str]) -> dict[str, float | None]:
    bars = [
        bars_of([10.0, 10.0 + change], [10.0, 10.0], symbol=symbol, sector=sectors.get(symbol, ""))
        for symbol, change in changes.items()
    ]
    return by_date(pl.concat(bars), "y_rank_1", 0)


def test_a_rank_is_taken_within_a_sector_of_five_and_else_among_all():
    tech = {f"T{k}": float(k) for k in range(SECTOR_MEMBERS)}
    small = {"E0": -1.0, "E1": 9.0}
    found = ranked(tech | small, dict.fromkeys(tech, "Tech") | dict.fromkeys(small, "Energy"))
    assert [found[s] for s in tech] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert [found[s] for s in small] == pytest.approx([0.5 / 7, 6.5 / 7])


def test_symbols_without_a_sector_are_no_sector():
    six = {f"U{k}": float(k) for k in range(6)}
    tied = {"V0": 2.0}
    found = ranked(six | tied, {})
    assert found["U0"] == pytest.approx(0.5 / 7)
    assert found["V0"] == found["U2"] == pytest.approx(3.0 / 7)


def test_a_symbol_that_misses_a_session_is_not_ranked_and_moves_nobody():
    flat, more = bars_of([10.0] * 8, symbol="A"), bars_of([10.0] * 7 + [12.0], symbol="B")
    holed = bars_of([10.0] * 7 + [99.0], symbol="C").filter(
        pl.col("date") != FIRST + timedelta(days=4)
    )
    bars = pl.concat([flat, more, holed])
    assert by_date(bars, "y_rank_5", 2) == {"A": 0.25, "B": 0.75, "C": None}
    # along its own bars the return of C from the third session on is complete two bars later
    assert by_date(bars, "y_return_5", 1)["C"] == pytest.approx(8.9)
    assert by_date(bars, "y_return_5", 2)["C"] is None


def test_a_barrier_is_touched_by_the_first_close_beyond_it():
    wobble = [100.0 * 1.01 ** (k % 2) for k in range(21)]
    width = BARRIER * float(np.std(np.diff(wobble) / wobble[:-1], ddof=1)) * 5**0.5
    up, down = 100.0 * (1.0 + 1.01 * width), 100.0 * (1.0 - 1.01 * width)
    inside = 100.0 * (1.0 + 0.99 * width)

    def touched(path: list[float]) -> float | None:
        bars = bars_of(wobble + path, [100.0] * (21 + len(path)))
        return column(bars, "y_barrier_5")[20]

    assert touched([100.0, up, down, 100.0, 100.0]) == 1.0
    assert touched([100.0, down, up, 100.0, 100.0]) == -1.0
    assert touched([100.0, 100.0, 100.0, 100.0, down]) == -1.0
    assert touched([100.0, inside, 100.0, inside, 100.0]) == 0.0
    # one close is missing: not known yet, although a barrier was touched
    assert touched([100.0, up, 100.0, 100.0]) is None
    # before the volatility is known there are no barriers, and a still price has none
    assert column(bars_of([*wobble, *wobble]), "y_barrier_1")[:20] == [None] * 20
    assert set(column(bars_of([10.0] * 40), "y_barrier_1")) == {None}


def test_four_kinds_at_every_horizon():
    kinds = ("return", "direction", "rank", "barrier")
    assert set(LABELS.names()) == {f"y_{kind}_{h}" for kind in kinds for h in HORIZONS}
    with pytest.raises(UnknownNameError, match="unknown label 'y_retrun_5', did you mean"):
        label_plan(BARS.lazy(), ["y_retrun_5"])


@pytest.mark.parametrize("name", LABELS.names())
class TestLabel:
    def test_its_last_rows_are_unknown_and_only_those_for_a_whole_symbol(self, name: str):
        horizon = LABELS.get(name).horizon
        assert horizon == int(name.rsplit("_", 1)[1])
        for symbol in FULL["symbol"].unique():
            own = FULL.filter(pl.col("symbol") == symbol)[name]
            assert own.tail(horizon).null_count() == horizon
            if symbol not in ("SYN002", "SYN003"):  # the late one and the one with holes
                assert own[20:-horizon].null_count() == 0

    def test_finite_or_null_and_in_its_unit(self, name: str):
        values = FULL[name].drop_nulls()
        assert values.dtype == pl.Float64
        assert values.is_finite().all()
        unit = LABELS.get(name).unit
        if unit == "rank":
            assert values.is_between(0.0, 1.0, closed="none").all()
        if unit == "class":
            assert set(values) <= {-1.0, 0.0, 1.0}
        assert values.n_unique() > 1

    def test_a_symbol_is_labelled_along_its_own_bars(self, name: str):
        alone = BARS.filter(pl.col("symbol") == "SYN003")
        if LABELS.get(name).unit == "rank":
            assert FULL.filter(pl.col("symbol") == "SYN003")[name].null_count() > 20
        else:
            expected = FULL.filter(pl.col("symbol") == "SYN003").select("symbol", "date", name)
            assert label_plan(alone.lazy(), [name]).collect().equals(expected)

    def test_sectors_matter_to_ranks_alone(self, name: str):
        plain = label_plan(BARS.drop("sector").lazy(), [name]).collect()
        if LABELS.get(name).unit != "rank":
            assert plain.equals(FULL.select("symbol", "date", name))
        assert plain[name].null_count() == FULL[name].null_count()


def test_a_bad_price_gives_no_infinity():
    random = generator(3, "labels/bad")
    closes = list(50.0 * np.exp(np.cumsum(0.01 * random.standard_normal(60))))
    bars = bars_of(closes, [0.0 if k == 40 else close for k, close in enumerate(closes)])
    found = label_plan(bars.lazy()).collect()
    assert found["y_return_1"][39] is None
    for name in LABELS.names():
        assert found[name].drop_nulls().is_finite().all(), name
