"""The report says the same in Markdown and HTML, and says what it must."""

import base64
import json
import re
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from backtest.pages import Heading, Paragraph, Picture, Table, to_html, to_markdown
from backtest.report import (
    Story,
    gate_table,
    legend,
    price_index,
    quarantine_blocks,
    report_files,
    variants_table,
)

DAYS = [date(2020, 1, 1) + timedelta(days=i) for i in range(60)]
VARIANTS = ("regime_aware", "exported", "static", "default", "buy_and_hold")


def returns_frame() -> pl.DataFrame:
    random = np.random.default_rng(1)
    parts = [
        pl.DataFrame(
            {
                "date": DAYS,
                "strategy": strategy,
                "variant": variant,
                "net_return": random.normal(0.0004, 0.01, len(DAYS)),
                "turnover": random.uniform(0.0, 0.4, len(DAYS)),
            }
        )
        for strategy in ("rsi_swing", "all")
        for variant in VARIANTS
    ]
    return pl.concat(parts)


def line(criterion: str, value: float | None, limit: float, passed: bool, reason: str) -> dict:
    return {
        "strategy": "rsi_swing",
        "criterion": criterion,
        "value": value,
        "limit": limit,
        "better": "above",
        "passed": passed,
        "reason": reason,
    }


def evidence(*, synthetic: bool) -> dict:
    variant = {
        "sharpe": 1.234,
        "sharpe_interval": [0.2, 2.1],
        "psr": 0.97,
        "dsr": None,
        "total_return": 0.1,
        "volatility": 0.05,
        "max_drawdown": 0.02,
        "turnover": 31.0,
        "cost_break_even_bps": None,
    }
    paired = {"t": 1.5, "limit": 3.1, "sharpe_gain": 0.4, "smallest_gain": None}
    swing = {
        "variants": dict.fromkeys(VARIANTS, variant),
        "promoted": False,
        "promoted_at": None,
        "champion": "default",
        "smallest_gain": 1.25,
        "policies": 5,
        "batch": 2,
        "alpha": 0.0076,
        "candidates": 140,
        "paired": {"static": paired},
    }
    return {
        "synthetic": synthetic,
        "first": "2020-01-01",
        "last": "2020-02-29",
        "sessions": 60,
        "book": "dollar-neutral",
        "cost_bps": 5.0,
        "seed": 0,
        "periods_per_year": 252,
        "criteria": [
            line("observations", 60, 252, False, "too few"),
            line("psr", 0.97, 0.95, True, ""),
        ],
        "claim": {"reason": "regime_aware did not beat static"},
        "variants": {"static": variant},
        "strategies": {"rsi_swing": swing},
        "reasons": {"pbo": "not computed yet"},
    }


def story(*, synthetic: bool = True) -> Story:
    decisions = pl.DataFrame(
        {
            "date": DAYS,
            "strategy": "rsi_swing",
            "parameters": [
                json.dumps({"direction": "momentum" if i % 2 else "reversion", "period": 5 + i % 3})
                for i in range(len(DAYS))
            ],
        }
    )
    known = [None] * 20 + [0.5] * 40
    regimes = pl.DataFrame(
        {
            "date": DAYS,
            "p_bull": known,
            "p_sideways": [None if v is None else 0.3 for v in known],
            "p_bear": [None if v is None else 0.2 for v in known],
            "p_volatile": known,
            "p_heavy": known,
        }
    )
    quarantined = pl.DataFrame(
        {
            "symbol": ["BAD"],
            "date": [DAYS[3]],
            "rule": ["high_below_low"],
            "detail": ["high 1.0 is below low 2.0"],
        }
    )
    return Story(
        title="Evidence of a test",
        evidence=evidence(synthetic=synthetic),
        returns=returns_frame(),
        decisions=decisions,
        regimes=regimes,
        prices=pl.DataFrame({"date": DAYS, "level": np.linspace(1.0, 1.2, len(DAYS))}),
        quarantined=quarantined,
        facts={"source": "a | b"},
    )


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return report_files(story())


def test_the_page_shows_every_part(files: dict[str, bytes]):
    text = files["report.md"].decode()
    for said in (
        "SYNTHETIC MARKET",
        "rsi_swing: hold, champion default; not passed: observations.",
        "Claim: regime_aware did not beat static.",
        "5 policies and 140 candidate sets counted; batch 2 of this champion's challengers, alpha ",
        "pbo: not computed yet.",
        "| static | +1.50 | +3.10 | +0.40 | - |",
        "Smallest gain that this span could have shown: 1.25",
        "| observations | not passed | too few | 60 | at least 252 |",
        "| psr | passed |  | 0.97 | at least 0.95 |",
        "high_below_low | 1 | 1",
        "+0.20 to +2.10",
    ):
        assert said in text
    assert "nan" not in text.lower()
    assert "None" not in text.replace("None: every row", "")


def test_each_picture_stands_beside_the_markdown_and_inside_the_html(files: dict[str, bytes]):
    named = re.findall(r"!\[[^]]*\]\(([^)]+)\)", files["report.md"].decode())
    assert set(named) == {"equity.png", "regimes.png", "cost.png", "parameters_rsi_swing.png"}
    page = files["report.html"].decode()
    inside = [base64.b64decode(c) for c in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert [files[name] for name in named] == inside
    assert all(png.startswith(b"\x89PNG") for png in inside)
    assert "http" not in page
    assert "<script" not in page


def test_one_strategy_is_not_shown_twice(files: dict[str, bytes]):
    assert "### all" not in files["report.md"].decode()


def test_a_real_market_is_not_called_synthetic():
    text = report_files(story(synthetic=False))["report.md"].decode()
    assert "SYNTHETIC" not in text


def test_the_same_story_gives_the_same_bytes(files: dict[str, bytes]):
    assert report_files(story()) == files


def test_price_index_is_the_mean_of_returns_compounded():
    bars = pl.DataFrame(
        {
            "symbol": ["A", "A", "A", "B", "B"],
            "date": [DAYS[0], DAYS[1], DAYS[2], DAYS[1], DAYS[2]],
            "close": [10.0, 11.0, 11.0, 5.0, 6.0],
        }
    )
    # Session 1: A +10 %, B has no past. Session 2: A 0 %, B +20 %, mean +10 %.
    assert price_index(bars)["level"].to_list() == pytest.approx([1.0, 1.1, 1.21])


def test_an_empty_quarantine_is_one_sentence():
    empty = pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "rule": pl.String})
    assert quarantine_blocks(empty) == [Paragraph("None: every row kept every rule.")]


def test_a_criterion_without_a_value_is_a_dash():
    row = line("dsr", None, 0.95, False, "no trial")
    assert gate_table([row]).rows == (("dsr", "not passed", "no trial", "-", "at least 0.95"),)


def test_a_gate_without_remarks_has_no_column_for_them():
    table = gate_table([line("psr", 0.99, 0.95, True, "")])
    assert table.header == ("criterion", "result", "value", "limit")
    assert table.rows == (("psr", "passed", "0.99", "at least 0.95"),)


def test_variants_stand_in_one_order_and_are_explained():
    names = ["static", "mine", "exported", "regime_aware"]
    expected = ["regime_aware", "exported", "static"]
    assert [row[0] for row in legend(dict.fromkeys(names)).rows] == expected
    rows = variants_table({name: {} for name in names}).rows
    assert [row[0] for row in rows] == [*expected, "mine"]


def test_blocks_render_alike_and_escape_what_they_are_given():
    blocks = [
        Heading("A & B", 1),
        Paragraph("plain <b>"),
        Paragraph("beware", note=True),
        Table(("x", "y"), (("a|b", "1"),)),
        Picture("p.png", b"\x89PNG", "a picture"),
    ]
    assert to_markdown(blocks) == (
        "# A & B\n\nplain <b>\n\n> **beware**\n\n| x | y |\n| --- | ---: |\n| a\\|b | 1 |\n\n"
        "![a picture](p.png)\n"
    )
    page = to_html(blocks, title="A & B")
    assert "<h1>A &amp; B</h1>" in page
    assert "plain &lt;b&gt;" in page
    assert '<p class="note">beware</p>' in page
    assert '<td class="words">a|b</td><td>1</td>' in page
