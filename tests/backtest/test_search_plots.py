"""What the pictures of a search hold, read from the figures themselves."""

import numpy as np
import polars as pl
import pytest

from backtest import search_plots

SETS = pl.DataFrame(
    {
        "sharpe": [0.1, 0.2, 0.3],
        "drawdown": [0.3, 0.2, 0.1],
        "front": [False, False, True],
        "feasible": [True, False, True],
        "merit": [0.1, 0.2, 0.3],
        "smoothed": [0.15, 0.2, 0.25],
        "period": [5, 6, 7],
    }
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Figures instead of bytes."""
    figures: list = []
    monkeypatch.setattr(search_plots, "png_of", lambda one: figures.append(one) or b"")
    return figures


def marks(axes) -> dict[str, list]:
    """Points by their name in the legend."""
    return {one.get_label(): one.get_offsets().tolist() for one in axes.collections}


def test_sets_that_break_a_constraint_are_told_from_the_others(drawn: list):
    search_plots.front_plot({"a": SETS}, across="sharpe", up="drawdown")
    search_plots.surface_plot(SETS, ["period"], chosen={"period": 7})
    assert marks(drawn[0].axes[0]) == {
        "other sets": [[0.1, 0.3]],
        "breaks a constraint": [[0.2, 0.2]],
        "front": [[0.3, 0.1]],
    }
    assert marks(drawn[1].axes[0]) == {
        "merit": [[5, 0.1], [7, 0.3]],
        "breaks a constraint": [[6, 0.2]],
        "smoothed": [[5, 0.15], [7, 0.25]],
    }
    for figure in drawn:
        shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert "breaks a constraint" in shown


def test_a_table_that_knows_no_constraints_and_no_front_names_neither(drawn: list):
    plain = SETS.drop("feasible").with_columns(front=False)
    search_plots.front_plot({"a": plain}, across="sharpe", up="drawdown")
    assert list(marks(drawn[0].axes[0])) == ["other sets"]


def test_a_trace_of_one_point_shows_it_at_a_whole_number(drawn: list):
    search_plots.trace_plot(np.array([0.4]), title="t", across="batch", up="volume")
    axes = drawn[0].axes[0]
    assert axes.get_lines()[0].get_marker() == "o"
    low, high = axes.get_xlim()
    assert low < 1.0 < high
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1.0]
