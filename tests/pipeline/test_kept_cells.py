"""Cells that are kept in files: read back whole, or made again."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline import cells
from tests.pipeline.in_process import Pool

MADE: list[str] = []


@dataclass(frozen=True)
class Told:
    """What a task makes: the market that it was for."""

    market: str

    def plain(self) -> dict[str, Any]:
        return {"market": self.market, "pair": (1.5, None)}


@dataclass(frozen=True)
class Task:
    """One market; counts how often it is walked."""

    market: str

    @property
    def name(self) -> str:
        return f"{self.market}-1-abc"

    def walk(self) -> Told:
        MADE.append(self.market)
        return Told(self.market)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "ProcessPoolExecutor", Pool)
    MADE.clear()


def make(kept: Path, *markets: str) -> list[dict[str, Any]]:
    tasks = [Task(market) for market in markets]
    return cells.make_cells(tasks, kept, workers=1, progress=None)


def test_a_cell_is_made_once_and_read_back_alike(tmp_path: Path):
    first = make(tmp_path, "clear", "null")
    assert make(tmp_path, "null", "clear") == first[::-1]
    assert first[0] == {"market": "clear", "pair": [1.5, None]}
    assert sorted(MADE) == ["clear", "null"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "{}",
        lambda text: "[1]",
        lambda text: "\x00\xff",
        lambda text: text.replace('"market": "clear"', '"market": "murky"'),
        lambda text: text.replace("1.5", "2.5"),
        lambda text: text.replace('"of": "clear', '"of": "murky'),
        lambda text: json.dumps(json.loads(text)["cell"]),
    ],
)
def test_a_cell_that_is_not_what_was_written_is_made_again(
    damage: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first = make(tmp_path, "clear")
    path = tmp_path / "clear-1-abc.json"
    whole = path.read_text()
    path.write_bytes(damage(whole).encode("latin-1"))
    assert path.read_text(encoding="latin-1") != whole
    with caplog.at_level(logging.WARNING):
        assert make(tmp_path, "clear") == first
    assert "clear-1-abc.json is damaged or another market's; it is made again" in caplog.text
    assert MADE == ["clear", "clear"]
    assert path.read_text() == whole


def test_the_file_of_another_market_is_not_taken_for_this_one(tmp_path: Path):
    make(tmp_path, "clear")
    (tmp_path / "clear-1-abc.json").rename(tmp_path / "murky-1-abc.json")
    assert make(tmp_path, "murky")[0]["market"] == "murky"
