"""What counts as a trial, once."""

import math
from datetime import UTC, date, datetime

import polars as pl
import pytest

from ml.trials import (
    KEY,
    TRIAL_COLUMNS,
    Registration,
    Trial,
    config_hash,
    merged,
    policies_known,
    policies_looked_at,
    registrations,
    trial_frame,
)

FIRST, LAST = date(2015, 1, 2), date(2020, 12, 31)


def trial(name: str, *, kind: str = "policy", end: date = LAST, **more: object) -> Trial:
    given = {
        "kind": kind,
        "strategy": "rsi_swing",
        "config_hash": config_hash({"name": name}),
        "span_start": FIRST,
        "span_end": end,
        "sharpe": 0.1,
        "observations": 1000,
    }
    return Trial(**(given | more))


EMPTY = trial_frame([])


def test_an_empty_ledger_has_its_columns():
    assert EMPTY.schema == pl.Schema(TRIAL_COLUMNS)
    assert policies_known(EMPTY, since=FIRST) == {}


def test_the_hash_ignores_order_and_sees_values():
    assert config_hash({"a": 1, "b": {"c": 2, "d": 3}}) == config_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert config_hash({"a": 1}) != config_hash({"a": 1.5})
    assert len(config_hash({})) == 64


def test_a_rerun_adds_nothing():
    fresh = trial_frame([trial("one"), trial("two"), trial("one", kind="candidate")])
    ledger = merged(EMPTY, fresh)
    assert ledger.height == 3
    assert merged(ledger, fresh).equals(ledger)
    assert merged(ledger, fresh.sample(fraction=1.0, shuffle=True, seed=1)).equals(ledger)


def test_scoring_again_moves_the_end():
    ledger = merged(EMPTY, trial_frame([trial("one", end=date(2019, 1, 2), sharpe=0.3)]))
    ledger = merged(ledger, trial_frame([trial("one", sharpe=0.2, observations=1500)]))
    assert ledger.rows(named=True) == [vars(trial("one", sharpe=0.2, observations=1500))]


def test_an_older_score_does_not_move_it_back():
    ledger = merged(EMPTY, trial_frame([trial("one")]))
    older = trial_frame([trial("one", end=date(2018, 1, 2), sharpe=-1.0)])
    assert merged(ledger, older).equals(ledger)


def test_another_start_is_another_trial():
    ledger = merged(EMPTY, trial_frame([trial("one"), trial("one", span_start=date(2016, 1, 4))]))
    assert ledger.height == 2
    assert ledger.select(KEY).is_unique().all()


def test_policies_are_counted_by_hash_kind_and_span():
    ledger = merged(
        EMPTY,
        trial_frame(
            [
                trial("one"),
                trial("one", span_start=date(2016, 1, 4)),  # the same policy
                trial("two"),
                trial("three", kind="candidate"),
                trial("four", strategy="ma_cross"),
                trial("five", span_start=date(2001, 1, 2), end=date(2004, 1, 2)),  # long ago
            ]
        ),
    )
    assert len(policies_known(ledger, since=FIRST)) == 3
    assert len(policies_known(ledger, since=date(2003, 1, 2))) == 4
    assert policies_known(ledger, since=date(2060, 1, 2)) == {}


def test_a_policy_counts_from_the_day_it_was_first_looked_at():
    looked = [datetime(2021, 3, 1, 9, tzinfo=UTC), datetime(2022, 3, 1, 9, tzinfo=UTC)]
    rows = trial_frame([trial("one"), trial("one", span_start=date(2016, 1, 4))])
    known = policies_known(rows.with_columns(known_at=pl.Series(looked)), since=FIRST)
    assert list(known.values()) == [date(2021, 3, 1)]
    early = rows.with_columns(known_at=pl.Series([datetime(2000, 1, 3, tzinfo=UTC)] * 2))
    assert list(policies_known(early, since=FIRST).values()) == [FIRST]


def test_a_policy_counts_once_and_from_the_start_of_its_record():
    known = {"one": FIRST, "late": LAST}
    assert policies_looked_at(known, {"one", "own"}, FIRST) == 2
    assert policies_looked_at(known, {"one", "own"}, LAST) == 3


def test_an_undefined_sharpe_is_null():
    assert trial_frame([trial("one", sharpe=None)])["sharpe"].to_list() == [None]


def challengers(*rows: tuple[str, str, int], champion: str = "default") -> pl.DataFrame:
    """Ledger of challengers: name, strategy and the day in March on which each was first seen."""
    given = [trial(name, strategy=strategy, champion=champion) for name, strategy, _ in rows]
    seen = [datetime(2021, 3, day, 9, tzinfo=UTC) for *_, day in rows]
    return trial_frame(given).with_columns(known_at=pl.Series(seen, dtype=pl.Datetime("us", "UTC")))


def own(*names: str, strategy: str = "rsi_swing", champion: str = "default") -> dict:
    return {strategy: (config_hash({"name": names[0]}), champion)}


def test_the_first_challengers_share_the_first_batch():
    both = own("one") | own("two", strategy="ma_cross")
    assert registrations(EMPTY, both, since=FIRST) == {
        "rsi_swing": Registration(batch=1, together=2),
        "ma_cross": Registration(batch=1, together=2),
    }


def test_a_challenger_keeps_its_batch_whatever_is_tried_later():
    ledger = challengers(("one", "rsi_swing", 1), ("two", "ma_cross", 1), ("three", "rsi_swing", 2))
    assert registrations(ledger, own("one"), since=FIRST)["rsi_swing"] == Registration(1, 2)
    assert registrations(ledger, own("three"), since=FIRST)["rsi_swing"] == Registration(2, 1)
    later = pl.concat([ledger, challengers(("four", "rsi_swing", 3))])
    for name in ("one", "three"):
        mine = own(name)
        assert registrations(later, mine, since=FIRST) == registrations(ledger, mine, since=FIRST)


def test_a_new_challenger_joins_the_next_batch():
    ledger = challengers(("one", "rsi_swing", 1), ("two", "rsi_swing", 2), ("three", "ma_cross", 3))
    assert registrations(ledger, own("new"), since=FIRST)["rsi_swing"] == Registration(3, 1)
    # what the other strategy tried does not count, and its known challenger is not new
    mixed = own("new") | own("three", strategy="ma_cross")
    assert registrations(ledger, mixed, since=FIRST) == {
        "rsi_swing": Registration(3, 1),
        "ma_cross": Registration(1, 1),
    }


def test_a_change_of_champion_starts_a_new_clock():
    ledger = challengers(("one", "rsi_swing", 1), ("two", "rsi_swing", 2))
    mine = own("two", champion="incumbent")
    assert registrations(ledger, mine, since=FIRST)["rsi_swing"] == Registration(1, 1)


def test_other_policies_and_old_spans_are_no_batch():
    plain = trial_frame([trial("one"), trial("two", kind="candidate", champion="default")])
    ended = trial_frame([trial("three", champion="default", end=date(2010, 1, 4))])
    ledger = pl.concat([plain, ended])
    assert registrations(ledger, own("new"), since=FIRST)["rsi_swing"] == Registration(1, 1)


def test_the_shares_of_alpha_sum_to_alpha():
    shares = [Registration(j, 1).alpha(0.05) for j in range(1, 20_001)]
    assert sum(shares) == pytest.approx(0.05, rel=1e-4)
    assert shares[0] == pytest.approx(0.05 * 6 / math.pi**2)
    assert Registration(2, 5).alpha(0.05) == pytest.approx(0.05 / 5 * 6 / (4 * math.pi**2))
