from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.engine.books import sweep_book
from backtest.errors import DataError
from backtest.market.panel import Panel
from backtest.market.universe import (
    checked_members,
    labelled,
    marked,
    members_among,
    membership_notes,
    read_members,
    relabelled,
)
from tests.backtest.markets import NoParams, ParamGrid, Scripted, panel_of

DAY = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]


def spans(*rows: tuple[str, date | None, date | None], **labels: list[str | None]) -> pl.DataFrame:
    schema = {"symbol": pl.String, "valid_from": pl.Date, "valid_to": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.Series(name, values, dtype=pl.String) for name, values in labels.items()
    )


def test_a_mark_holds_both_ends_and_several_spans() -> None:
    table = checked_members(
        spans(("B", DAY[3], None), ("A", DAY[4], DAY[4]), ("A", DAY[0], DAY[1]))
    )
    bars = pl.DataFrame({"symbol": ["A"] * 6 + ["B"] * 6 + ["C"] * 6, "date": DAY * 3})
    said = marked(bars, table)["member"].cast(pl.Int8).to_list()
    assert said == [1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, *[0] * 6]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("A", DAY[2], DAY[1])], "membership of A ends on 2024-01-03, before it begins"),
        ([("A", DAY[0], DAY[2]), ("A", DAY[2], None)], "two spans of A overlap"),
        ([("A", DAY[0], None), ("A", DAY[2], None)], "two spans of A overlap"),
        ([("A", None, DAY[2])], "1 rows without a symbol or a valid_from"),
    ],
)
def test_a_table_that_contradicts_itself(
    rows: list[tuple[str, date | None, date | None]], said: str
) -> None:
    with pytest.raises(DataError, match=f"^E_MEMBERS: {said}"):
        checked_members(spans(*rows))


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    table = spans(("A", DAY[0], None), ("B", DAY[1], DAY[2]), sector=["Energy", None])
    table.write_csv(tmp_path / "m.csv")
    table.write_parquet(tmp_path / "m.parquet")
    assert read_members(tmp_path / "m.csv").equals(read_members(tmp_path / "m.parquet"))
    assert read_members(tmp_path / "m.csv").equals(table)
    (tmp_path / "m.csv").write_text("symbol,valid_from,valid_to\nA,2024-01-02,soon\n")
    with pytest.raises(DataError, match="E_MEMBERS: a valid_to that is no date"):
        read_members(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("symbol,valid_form,valid_to\nA,2024-01-02,\n")
    with pytest.raises(DataError, match=r"E_MEMBERS: missing column 'valid_from'.*valid_form"):
        read_members(tmp_path / "m.csv")
    with pytest.raises(DataError, match="E_DATA_PATH"):
        read_members(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"symbol,valid_from,valid_to\n", "E_MEMBERS: no rows, "),
        (b"symbol;valid_from;valid_to\nA;2024-01-02;\n", "E_MEMBERS: the columns are separated by"),
        (b"\x00\x01\x02\n", r"E_DATA_UNREADABLE: cannot read the file \(it is no text\)"),
        (b"PK\x03\x04\x14\n\x07,\x08", "E_DATA_UNREADABLE: cannot read the file"),
    ],
)
def test_a_file_that_is_no_table_of_members(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"^{said}") as error:
        read_members(tmp_path / "m.csv")
    assert str(error.value).isprintable()


def test_a_table_of_another_market_is_refused() -> None:
    raw = pl.DataFrame({"symbol": ["A", "B"], "date": DAY[:2]})
    with pytest.raises(DataError, match=r"^E_MEMBERS: it names none of the 2 symbols of the bars"):
        labelled(raw, checked_members(spans(("X", DAY[0], None))))
    with pytest.raises(DataError, match=r"^E_MEMBERS: no row of its 2 symbols lies within"):
        labelled(raw, checked_members(spans(("A", DAY[1], None), ("C", DAY[0], None))))
    table = checked_members(spans(("A", DAY[0], None), ("C", DAY[0], None)))
    assert members_among(table, ()).equals(table)
    assert members_among(table, ["C"])["symbol"].to_list() == ["C"]
    with pytest.raises(DataError, match=r"^E_SYMBOL: 'X' is not in the table of members"):
        members_among(table, ["C", "X"])


def test_members_without_bars_are_told_with_their_count() -> None:
    bars = pl.DataFrame({"symbol": ["AAPL", "X"], "date": DAY[:2]})
    table = checked_members(spans(*((s, DAY[0], None) for s in ("AAPL", "MSFT", "LEH"))))
    assert membership_notes(bars, table) == [
        "2 of 3 members have no bars, first LEH: their absence is a bias of survivorship",
        "1 symbols are no members at any time, first X",
    ]


@given(seed=st.integers(0, 10_000))
def test_a_mark_on_each_bar_is_that_of_its_span(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = [sorted(rng.choice(6, size=4, replace=False)) for _ in range(2)]
    rows = [(s, DAY[a], DAY[b]) for s, c in zip("AB", cuts, strict=True) for a, b in (c[:2], c[2:])]
    table = checked_members(spans(*rows))
    bars = pl.DataFrame({"symbol": ["A"] * 6 + ["B"] * 6 + ["C"] * 6, "date": DAY * 3})
    inside = [any(s == a and f <= d <= t for a, f, t in rows) for s, d in bars.iter_rows()]
    mixed = bars.sample(fraction=1.0, shuffle=True, seed=seed)
    assert marked(bars, table)["member"].to_list() == inside
    assert marked(mixed, table).drop("member").equals(mixed)
    assert marked(mixed, table).sort("symbol", "date").equals(marked(bars, table))


def test_labels_follow_the_spans_and_never_replace_those_of_the_bars() -> None:
    table = checked_members(
        spans(
            ("A", DAY[1], DAY[2]),
            ("A", DAY[4], None),
            sector=["Energy", "Utilities"],
            exchange=["XETR", "XETR"],
        )
    )
    raw = pl.DataFrame({"symbol": ["A"] * 6 + ["B"], "date": [*DAY, DAY[0]]})
    made = labelled(raw, table)
    sectors = ["Energy", "Energy", "Energy", "Energy", "Utilities", "Utilities", None]
    assert made["sector"].to_list() == sectors
    assert made["exchange"].to_list() == ["XETR"] * 6 + [None]
    named = raw.with_columns(sector=pl.Series([None, "Mine", *[None] * 5], dtype=pl.String))
    assert labelled(named, table)["sector"].to_list() == ["Energy", "Mine", *sectors[2:]]
    assert labelled(raw, table.select("symbol", "valid_from", "valid_to")).equals(raw)


def test_kept_labels_of_the_table_are_put_by_date_again_and_own_ones_stay() -> None:
    table = checked_members(
        spans(
            ("A", DAY[0], DAY[1]),
            ("A", DAY[2], None),
            ("B", DAY[0], None),
            sector=["Energy", "Tech", "Tech"],
            currency=["USD", "EUR", "EUR"],
        )
    )
    names = ["A"] * 3 + ["B", "C"]
    kept = pl.DataFrame(
        {"symbol": names, "date": [*DAY[:3], *DAY[:2]], "currency": "USD"}
    ).with_columns(sector=pl.Series(["Energy"] * 3 + ["Mine", "Mine"]))
    made = relabelled(kept, table)
    assert made["sector"].to_list() == ["Energy", "Energy", "Tech", "Mine", "Mine"]
    assert made.drop("sector").equals(kept.drop("sector"))


def test_survivors_are_called_so() -> None:
    bars = pl.DataFrame({"symbol": ["A", "A", "B"], "date": [DAY[0], DAY[1], DAY[1]]})
    assert membership_notes(bars, None)[0].startswith(
        "universe of today's survivors: all 2 symbols have bars up to 2024-01-03"
    )
    assert membership_notes(bars.head(2).vstack(bars.tail(1).with_columns(date=DAY[0])), None) == []
    table = checked_members(spans(("A", DAY[0], None)))
    assert membership_notes(bars, table) == ["1 symbols are no members at any time, first B"]


def market() -> Panel:
    """Six symbols over five sessions; the last one opens at 10 and closes at 11 throughout."""
    opens, close = np.full((6, 5), 10.0), np.full((6, 5), 10.0)
    close[5] = 11.0
    return panel_of(opens, close)


def all_long(panel: Panel) -> Scripted:
    return Scripted({s: np.ones(panel.shape[1], dtype=np.int8) for s in panel.symbols})


def test_a_symbol_is_bought_after_it_joins_and_sold_after_it_leaves() -> None:
    plain = market()
    member = np.ones((6, 5), dtype=bool)
    member[5] = [False, True, True, False, False]
    panel = Panel(**{**vars(plain), "member": member})
    grid = ParamGrid.of(NoParams, [{}])
    found = sweep_book(panel, all_long(panel), grid, kind="long-only", cost=0.0)
    # Targets at the closes: 1/5 each of five, then 1/6 each of six twice, then 1/5 of five.
    held = [0.0, 0.0, 1 / 6, 1 / 6, 0.0]
    overnight = 10.0 / 11.0 - 1.0
    expected = [0.0, 0.0, held[2] * 0.1, held[2] * overnight + held[3] * 0.1, held[3] * overnight]
    np.testing.assert_allclose(found.net_return[0], expected, atol=1e-15)
    change = 5 * (1 / 5 - 1 / 6) + 1 / 6
    np.testing.assert_allclose(found.turnover[0], [0.0, 1.0, change, 0.0, change], atol=1e-15)


def test_a_panel_without_a_table_has_members_everywhere() -> None:
    panel = market()
    assert panel.member.all()
    assert "member" not in panel.frame().columns
    assert panel.until(3).member.shape == (6, 3)


def test_a_panel_of_bars_and_members() -> None:
    price = dict.fromkeys(("open", "high", "low", "close", "volume"), [1.0] * 12)
    bars = pl.DataFrame({"symbol": ["A"] * 6 + ["B"] * 6, "date": DAY * 2, **price})
    table = checked_members(spans(("A", DAY[0], DAY[2]), ("B", DAY[2], None)))
    panel = Panel.from_frame(marked(bars, table))
    assert panel.member.astype(int).tolist() == [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]]
    assert panel.tradable.all(), "bars outside the membership stay"
    assert panel.bars(0).size == 6
    assert panel.frame()["member"].sum() == 7
    again = Panel.from_frame(panel.frame())
    assert again.member.tolist() == panel.member.tolist(), "a frame carries its members"
