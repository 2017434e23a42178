"""What show, explain, diff and history say of the documents that were exported."""

import re

import pytest

from pipeline import exports
from pipeline.config import Home
from tests.ml.documents import GRID, document, held_entry
from tests.pipeline.published import DAYS, chain


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def test_show_tells_what_to_run(home):
    chain(home)
    lines = exports.show(exports.read_document(home))
    assert lines[0] == "session 2016-02-08  universe synthetic-clear  (synthetic market)"
    text = "\n".join(lines)
    assert "rsi_swing: update (regime_aware promoted on 2015-06-01" in text
    assert re.search(r"direction (momentum|reversion), period \d+, width", text)
    shares = [float(share) for share in re.findall(r"^ +([\d.]+)%  ", text, re.MULTILINE)]
    assert sum(shares) == pytest.approx(100.0, abs=1.0)


def test_explain_tells_why(home):
    chain(home, 2)
    exports.publish_document(home, document(DAYS[2], entry=held_entry(previous=held_entry())))
    lines = exports.explain(exports.read_document(home))
    text = "\n".join(lines)
    assert "rsi_swing: hold, because default kept, held: observations, psr" in text
    assert "    FAIL observations: 12 >= 252" in lines
    assert "    FAIL psr: null >= 0.95 (no variance)" in lines
    assert "    pass drawdown: 0.1 <= 0.35" in lines
    assert "  direction reversion (one of reversion, momentum)" in lines or (
        "  direction momentum (one of reversion, momentum)" in lines
    )
    assert " of beating the average; by parameter: direction " in text
    assert "(2 to 60)" in text
    assert "proposed: " in text
    assert "0.0% of the mix moved since the preceding document" in text
    assert "    smallest gain that could have been seen: 1.5 in annual Sharpe" in lines
    assert "data: 20 symbols, 2015-01-01 to 2016-02-08, 2 rows quarantined" in text


def test_diff_lists_what_changed_and_nothing_else(home):
    before = document(DAYS[0], entry=held_entry(0))
    after = document(DAYS[1], entry=held_entry(2), previous=before)
    old, new = GRID.row(0), GRID.row(2)
    changes = {c.path: (c.before, c.after) for c in exports.diff(before, after)}
    different = {name for name in old if old[name] != new[name]}
    assert {p for p in changes if ".parameters." in p} == {
        f"rsi_swing.parameters.{name}" for name in different
    }
    for name in different:
        assert changes[f"rsi_swing.parameters.{name}"] == (old[name], new[name])
    mixes = {path: sides for path, sides in changes.items() if path.startswith("rsi_swing.mix[")}
    assert sorted(mixes.values(), key=str) == [(1.0, None), (None, 1.0)]
    assert len(changes) == len(different) + 2
    same = exports.diff_lines(before, document(DAYS[1], entry=held_entry(0)))
    assert same == ["from session 2016-02-04 to session 2016-02-05", "  nothing changed"]
    line = f"  rsi_swing.parameters.period: {old['period']} -> {new['period']}"
    assert ("period" not in different) or line in exports.diff_lines(before, after)


def test_diff_counts_what_is_too_small_to_show():
    regime = document().regime
    name, other = list(regime.probabilities)[:2]
    moved = {"probabilities": {name: 0.5 + 1e-9, other: 0.5}, "name": name, "since": DAYS[0]}
    before = document(regime={**moved, "probabilities": {name: 0.5, other: 0.5}})
    after = document(DAYS[1], regime=moved)
    assert len(exports.diff(before, after)) == 1
    assert exports.diff_lines(before, after)[1:] == ["  and 1 changes beyond the 5th digit"]


def test_history_tells_the_ledger(home):
    chain(home)
    exports.rollback(home, 1)
    lines = exports.history_lines(exports.history(home))
    assert len(lines) == 5
    assert lines[1].split()[:3] == ["1", "2016-02-04", "publish"]
    assert lines[1].endswith("+00:00"), "no longer in force"
    assert lines[4].split()[:3] == ["4", "2016-02-04", "rollback"]
    assert lines[4].endswith("in force, latest")
