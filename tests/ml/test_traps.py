"""Every planted leak is caught, no honest twin is accused, and a blind detector is noticed."""

import dataclasses
import itertools

import numpy as np
import pytest

from ml.hidden_markov import Chain, stationary
from ml.proof import traps
from ml.proof.planted_regimes import filtered, most_likely_path, smoothed
from ml.proof.trap import FACT_LAG, Feed, Trap, Twin, later, neutral, next_open, null_market
from ml.proof.traps import DETECTORS, TRAPS, Caught, catch, faults, trap_table
from tests.architecture.source_tree import ROOT
from tests.backtest.markets import panel_of

BY_NAME = {trap.name: trap for trap in TRAPS}
NAMES = (
    "same-bar fill",
    "shift by -1",
    "centred window",
    "full-sample scaling",
    "backward fill",
    "survivors only",
    "event-date join",
    "in-sample parameters",
    "smoothed regimes",
    "Viterbi regimes",
    "shuffled folds",
    "overlapping labels",
)


@pytest.fixture(scope="module")
def rows() -> list[Caught]:
    return catch()


@pytest.fixture(scope="module")
def source() -> Feed:
    return null_market(0)


def test_the_traps_are_all_there():
    assert tuple(BY_NAME) == NAMES
    assert all(trap.seen_by and trap.seen_by <= set(DETECTORS) for trap in TRAPS)


def test_every_leak_is_caught_and_no_clean_twin_is_accused(rows: list[Caught]):
    assert faults(rows) == []
    assert len(rows) == len(TRAPS) * 2 * len(DETECTORS)
    leaky = {one.trap for one in rows if one.twin == "leaky" and one.accused}
    assert leaky == set(NAMES)
    assert [one for one in rows if one.twin == "clean" and one.accused] == []


def test_what_each_detector_cannot_see(rows: list[Caught]):
    """The table behind the suite: no detector alone would do."""
    seen = {(one.detector, one.trap) for one in rows if one.twin == "leaky" and one.accused}
    outside_the_cut = {"same-bar fill", "survivors only", "event-date join"}
    for detector in ("truncation", "future noise"):
        assert {name for name in NAMES if (detector, name) not in seen} == outside_the_cut
    assert {n for d, n in seen if d == "as known"} == {"survivors only", "event-date join"}
    assert {n for d, n in seen if d == "fold order"} == {"shuffled folds", "overlapping labels"}


def test_the_page_shows_this_table(rows: list[Caught]):
    page = (ROOT / "docs/methods/traps.md").read_text(encoding="utf-8")
    verdicts = [line.split("|")[:7] for line in trap_table(rows)[2:]]
    assert [line.split("|")[:7] for line in page.splitlines() if line.startswith("| ")][
        -len(NAMES) :
    ] == verdicts
    for trap in TRAPS:
        assert f"**{trap.name}**: {trap.says}" in page


def test_the_same_seeds_give_the_same_table():
    chosen = [BY_NAME["survivors only"], BY_NAME["smoothed regimes"]]
    assert catch(chosen, (3, 4)) == catch(chosen, (3, 4))
    assert catch(chosen[:1], (3, 4)) != catch(chosen[:1], (5, 6))


@pytest.mark.parametrize(
    ("detector", "trap"),
    [
        ("truncation", "shift by -1"),
        ("future noise", "centred window"),
        ("as known", "event-date join"),
        ("fold order", "overlapping labels"),
        ("null market", "same-bar fill"),
    ],
)
def test_a_detector_that_is_blind_or_accuses_the_honest_is_noticed(
    monkeypatch: pytest.MonkeyPatch, detector: str, trap: str
):
    chosen = BY_NAME[trap]

    def backwards(_trap: Trap, twin: Twin, _sources: object) -> tuple[float, float]:
        return (2.0 if twin is chosen.clean else 0.0), 1.0

    monkeypatch.setitem(DETECTORS, detector, backwards)
    found = catch([chosen], (0, 1))
    assert faults(found, [chosen]) == [
        f"{detector} does not see {trap!r}",
        f"{detector} accuses the clean twin of {trap!r}",
    ]
    assert "ACCUSES THE CLEAN TWIN" in trap_table(found)[2]


def test_what_is_not_a_number_is_accused():
    nothing = Twin(lambda feed: np.full((1, 756), np.nan), lambda feed, said: said[0])
    trap = Trap("silent", "", nothing, nothing, frozenset({"null market"}))
    found = catch([trap], (0,))
    assert faults(found, [trap]) == ["null market accuses the clean twin of 'silent'"]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_both_twins_say_something_and_not_the_same(source: Feed, trap: Trap):
    earned = {}
    for name, twin in trap.twins.items():
        held = twin.loaded(source)
        stream = twin.earns(held, twin.publishes(held))
        known = stream[np.isfinite(stream)]
        assert len(known) > 400, name
        assert known.std() > 0.0, name
        earned[name] = stream
    assert not np.array_equal(earned["leaky"], earned["clean"], equal_nan=True)


def test_a_fact_is_known_after_its_date(source: Feed):
    facts = source.facts
    at = {day: k for k, day in enumerate(source.panel.dates.astype(object))}
    waited = {at[k] - at[d] for d, k in facts.select("event_date", "known_at").iter_rows()}
    assert waited == {FACT_LAG}
    cut = source.as_known(30)
    assert len(cut.panel.dates) == 31
    assert {at[day] for day in cut.facts["event_date"]} == {0, 20}
    dated = source.on(source.panel.until(21))
    assert {at[day] for day in dated.facts["event_date"]} == {0, 20}
    assert {at[day] for day in source.as_known(29).facts["event_date"]} == {0}


def test_weights_decided_at_a_close_earn_from_the_next_open():
    opens, closes = np.array([[10.0, 11.0, 12.0]]), np.array([[10.0, 12.0, 15.0]])
    feed = dataclasses.replace(null_market(0), panel=panel_of(opens, closes))
    first, second = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    # the day of the second session, and the night after it until the open that closes
    np.testing.assert_allclose(next_open(feed, first), [0.0, 12 / 11 - 1, 12 / 12 - 1])
    np.testing.assert_allclose(next_open(feed, second), [0.0, 0.0, 15 / 12 - 1])
    np.testing.assert_array_equal(later(np.array([[1.0, 2.0, 3.0]]), 1), [[0.0, 1.0, 2.0]])


def test_weights_are_neutral_and_of_unit_gross():
    found = neutral(np.array([[1.0, 2.0, np.nan], [3.0, 2.0, 1.0], [np.nan, 2.0, 4.0]]))
    np.testing.assert_allclose(found, [[-0.5, 0.0, 0.0], [0.5, 0.0, -0.5], [0.0, 0.0, 0.5]])


def test_smoother_and_path_agree_with_every_path_tried():
    move = np.array([[0.9, 0.1], [0.3, 0.7]])
    chain = Chain(np.zeros((2, 1)), np.eye(1), move)
    log_b = np.log(np.array([[0.9, 0.2], [0.3, 0.6], [0.4, 0.5], [0.1, 0.9], [0.7, 0.2]]))
    law = stationary(move)
    paths = np.array(list(itertools.product((0, 1), repeat=len(log_b))))
    weight = np.array(
        [
            law[p[0]] * np.prod(move[p[:-1], p[1:]]) * np.exp(log_b[np.arange(len(p)), p].sum())
            for p in paths
        ]
    )
    share = weight / weight.sum()
    expected = np.array([[share[paths[:, t] == s].sum() for s in (0, 1)] for t in range(5)])
    np.testing.assert_allclose(smoothed(log_b, chain), expected)
    np.testing.assert_allclose(filtered(log_b, chain)[-1], expected[-1])
    np.testing.assert_array_equal(
        most_likely_path(log_b, chain).argmax(axis=1), paths[weight.argmax()]
    )


def test_progress_is_told():
    told = []
    catch([BY_NAME["same-bar fill"]], (0,), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_default_seeds_span_enough_years_for_the_limit(rows: list[Caught]):
    limits = {one.limit for one in rows if one.measure == "Sharpe"}
    assert max(limits) < 1.0
    assert len(traps.SEEDS) >= 10
