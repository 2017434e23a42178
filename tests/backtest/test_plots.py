"""What the pictures of evidence hold, read from the figures themselves."""

from datetime import date, timedelta

import polars as pl
import pytest

from backtest import plots
from backtest.canvas import figure_of


@pytest.mark.parametrize(("panels", "wide"), [(0, 1), (1, 1), (2, 2), (3, 3), (5, 3)])
def test_fewer_panels_than_columns_share_the_width(panels: int, wide: int):
    made = figure_of(panels, 2.0, synthetic=False, columns=3)[1]
    assert len(made) == max(panels, 1)
    assert {axes.get_subplotspec().get_gridspec().ncols for axes in made} == {wide}


def test_words_that_come_together_are_drawn_apart(monkeypatch: pytest.MonkeyPatch):
    figures: list = []
    monkeypatch.setattr(plots, "png_of", lambda one: figures.append(one) or b"")
    days = [date(2020, 1, 1) + timedelta(days=k) for k in range(6)]
    sure = [None, None, 0.0, 1.0, 1.0, 0.0]
    words = ("bull", "sideways", "bear", "volatile", "heavy", "correlated")
    regimes = pl.DataFrame({"date": days, **{f"p_{word}": sure for word in words}})
    plots.regime_plot(pl.DataFrame({"date": days, "level": [1.0] * 6}), regimes)
    low = figures[0].axes[2]
    spans = [tuple(one.get_datalim(low.transData).intervaly.tolist()) for one in low.collections]
    assert spans == [(0.0, 0.85), (1.0, 1.85), (2.0, 2.85)]
    assert [text.get_text() for text in low.get_yticklabels()] == [
        "correlated",
        "heavy",
        "volatile",
    ]
