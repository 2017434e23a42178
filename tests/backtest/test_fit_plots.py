"""What the pictures of a neural fit hold, read from the figures themselves."""

from datetime import date

import polars as pl
import pytest

from backtest import fit_plots

HISTORY = pl.DataFrame(
    {
        "network": [0, 0, 0, 1, 1],
        "stage": [1, 1, 2, 1, 2],
        "epoch": [1, 2, 1, 1, 1],
        "train_mix": [1.6, 1.2, None, 1.5, None],
        "valid_mix": [1.1, 0.9, 1.0, 1.2, 1.3],
        "train_earned": [None, None, -2.0, None, -1.0],
        "valid_earned": [4.0, 3.0, 2.0, 4.0, 3.0],
        "gradient_norm": [0.7, 0.6, 5.0, 0.7, 4.0],
        "learning_rate": [1e-3, 5e-4, 3e-4, 1e-3, 3e-4],
    }
)
MOVED = pl.DataFrame(
    {
        "date": [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 6)],
        "period": [10.0, 12.5, 11.0],
        "direction": ["momentum", "reversion", "momentum"],
    }
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Figures instead of bytes."""
    figures: list = []
    monkeypatch.setattr(fit_plots, "png_of", lambda one: figures.append(one) or b"")
    return figures


def curves(axes) -> dict[str, list[float]]:
    """Known points of each curve by its name in the legend."""
    lines = [one for one in axes.lines if not one.get_label().startswith("_")]
    return {one.get_label(): [y for y in one.get_ydata() if y == y] for one in lines}


def test_training_shows_every_network_and_where_stage_two_begins(drawn: list):
    fit_plots.training_plot(HISTORY)
    mix, earned, norm, rate = drawn[0].axes
    assert curves(mix) == {
        "network 0, learned from": [1.6, 1.2],
        "network 0, kept back": [1.1, 0.9, 1.0],
        "network 1, learned from": [1.5],
        "network 1, kept back": [1.2, 1.3],
    }
    assert curves(earned)["network 0, learned from"] == [-2.0]
    assert curves(norm) == {"network 0": [0.7, 0.6, 5.0], "network 1": [0.7, 4.0]}
    upright = [one.get_xdata()[0] for one in rate.lines if one.get_label().startswith("_")]
    assert upright == [2.5, 1.5]
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["nats", "loss", "norm", "per step"]
    assert rate.get_xlabel().startswith("epoch")


def test_what_no_epoch_measured_has_no_panel(drawn: list):
    bare = HISTORY.with_columns(pl.lit(None).cast(pl.Float64).alias("gradient_norm"))
    fit_plots.training_plot(bare.drop("learning_rate"))
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["nats", "loss"]


def test_parameters_are_named_with_what_is_shown_of_them(drawn: list):
    fit_plots.parameters_plot(MOVED)
    period, direction = drawn[0].axes
    assert period.lines[0].get_ydata().tolist() == [10.0, 12.5, 11.0]
    assert list(direction.lines[0].get_ydata()) == [0, 1, 0]
    assert [one.get_text() for one in direction.get_yticklabels()] == ["momentum", "reversion"]
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles == [
        "period (mean of the mix, cash aside)",
        "direction (heaviest value, cash aside)",
    ]
    assert direction.get_xlabel() == "session"


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_made_up_market_says_so_on_the_picture(drawn: list, synthetic: bool):
    fit_plots.training_plot(HISTORY, synthetic=synthetic)
    fit_plots.parameters_plot(MOVED, synthetic=synthetic)
    marks = [one.get_suptitle() for one in drawn]
    assert marks == ["SYNTHETIC MARKET" if synthetic else ""] * 2


@pytest.mark.parametrize("epochs", [1, 5])
def test_pictures_are_png_and_the_same_again(epochs: int):
    rows = HISTORY.head(epochs)
    png = fit_plots.training_plot(rows)
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5_000
    assert fit_plots.training_plot(rows) == png
    assert fit_plots.parameters_plot(MOVED).startswith(b"\x89PNG")


def test_a_strategy_without_parameters_has_an_empty_picture():
    assert fit_plots.parameters_plot(MOVED.select("date")).startswith(b"\x89PNG")
