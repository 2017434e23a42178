"""What research leaves in the store: sessions, regimes, decisions, returns, evidence."""

from datetime import date

import polars as pl
import pytest

from backtest.errors import StoreError
from ml.robustness.costs import COST_SCHEMA
from ml.robustness.folds import FOLD_SCHEMA
from ml.robustness.paths import PATH_SCHEMA
from ml.robustness.stability import STABILITY_SCHEMA
from ml.robustness.tables import SENSITIVITY_SCHEMA
from tests.pipeline.stored import FRIDAY, MONDAY, TUESDAY, at, fresh


def test_sessions_are_those_of_the_exchange(tmp_path):
    store = fresh(tmp_path)
    account = store.write_sessions(date(2020, 7, 1), date(2020, 7, 8), run_id="r")
    assert account.new == 5
    assert store.sessions()["date"].to_list() == [date(2020, 7, day) for day in (1, 2, 6, 7, 8)]
    assert store.write_sessions(date(2020, 7, 1), date(2020, 7, 8), run_id="r").written == 0


REGIMES = {
    "regime": "bull calm thin",
    "p_bull": 0.9,
    "p_sideways": 0.1,
    "p_bear": 0.0,
    "p_volatile": 0.2,
    "p_heavy": 0.0,
    "state": 0,
    "p_correlated": 0.4,
}


def test_regimes_with_more_states_later_restate_nothing(tmp_path):
    store = fresh(tmp_path)
    first = pl.DataFrame([{"date": FRIDAY, **REGIMES, "state_0": 0.9, "state_1": 0.1}])
    none = {name: None for name in REGIMES}
    before = pl.DataFrame(
        [{"date": date(2020, 3, 5), **none, "state_0": None, "state_1": None}],
        schema=first.schema,
    )
    two = pl.concat([before, first])
    store.write_regimes(two, model="hmm", run_id="r", until=FRIDAY, arrived=at(FRIDAY, 22))
    assert store.read_regimes(model="hmm").equals(two)
    padded = two.with_columns(
        pl.when(pl.col("state_0").is_null()).then(None).otherwise(0.0).alias("state_2")
    )
    extra = first.with_columns(pl.lit(MONDAY).alias("date"), pl.lit(0.5).alias("state_2")).select(
        padded.columns
    )
    three = pl.concat([padded, extra])
    account = store.write_regimes(
        three, model="hmm", run_id="r", until=MONDAY, arrived=at(MONDAY, 22)
    )
    assert (account.new, account.restated, account.unchanged) == (1, 0, 2)
    assert store.read_regimes(model="hmm").equals(three)
    assert store.read_regimes(model="rules").is_empty()


def test_one_models_regimes_do_not_withdraw_anothers(tmp_path):
    store = fresh(tmp_path)
    rows = pl.DataFrame([{"date": FRIDAY, **REGIMES, "state_0": 1.0}])
    store.write_regimes(rows, model="hmm", run_id="r", until=FRIDAY)
    account = store.write_regimes(rows, model="rules", run_id="r", until=FRIDAY)
    assert (account.new, account.withdrawn) == (1, 0)
    assert store.read_regimes(model="hmm").height == 1


def test_decisions_returns_and_evidence_come_back(tmp_path):
    store = fresh(tmp_path)
    decisions = pl.DataFrame(
        {
            "date": [FRIDAY],
            "strategy": ["rsi_swing"],
            "parameters": ['{"period": 14}'],
            "mix": ["[]"],
            "by_regime": ["{}"],
            "confidence": [0.5],
            "action": ["hold"],
            "parameter_confidence": ['{"period":0.5}'],
        }
    )
    returns = pl.DataFrame(
        {
            "date": [FRIDAY, FRIDAY],
            "strategy": ["rsi_swing", "all"],
            "variant": ["static", "static"],
            "net_return": [0.01, -0.01],
            "turnover": [0.5, None],
        }
    )
    for _ in range(2):
        store.write_decisions(decisions, run_id="r", until=FRIDAY)
        store.write_returns(returns, run_id="r", until=FRIDAY)
        store.write_evidence(FRIDAY, document="{}", snapshot="s", settings="t", run_id="r")
    assert store.read_decisions().select(decisions.columns).equals(decisions)
    assert store.read_returns().select(returns.columns).equals(returns.sort("strategy"))
    assert store.read_evidence().row(0) == (FRIDAY, "{}", "s", "t")
    assert store.batches().height == 3
    dropped = store.write_returns(returns.head(1), run_id="r", until=FRIDAY)
    assert (dropped.withdrawn, dropped.unchanged) == (1, 1)


def robustness_tables(sharpe: float, variants: tuple[str, ...] = ("static", "regime_aware")):
    costs = [("rsi_swing", variant, "5", 5.0, sharpe, None) for variant in variants]
    costs.append(("rsi_swing", "default", "break-even", None, None, "nothing was traded"))
    stable = [("rsi_swing", "stability", "", "", None, "fewer than two selections")]
    return {
        "costs": pl.DataFrame(costs, schema=COST_SCHEMA, orient="row"),
        "stability": pl.DataFrame(stable, schema=STABILITY_SCHEMA, orient="row"),
        "folds": pl.DataFrame(schema=FOLD_SCHEMA),
        "paths": pl.DataFrame(schema=PATH_SCHEMA),
        "sensitivity": pl.DataFrame(schema=SENSITIVITY_SCHEMA),
    }


def test_robustness_is_kept_by_session_and_not_written_twice(tmp_path):
    store = fresh(tmp_path)
    first = store.write_robustness(robustness_tables(1.0), FRIDAY, run_id="a")
    assert {name: account.new for name, account in first.items() if account.new} == {
        "costs": 3,
        "stability": 1,
    }
    again = store.write_robustness(robustness_tables(1.0), FRIDAY, run_id="b")
    assert sum(account.written for account in again.values()) == 0
    later = store.write_robustness(robustness_tables(2.0), MONDAY, run_id="c")
    assert (later["costs"].new, later["costs"].restated, later["costs"].withdrawn) == (3, 0, 0)
    kept = store.read_robustness("costs", until=FRIDAY)
    assert set(kept["date"]) == {FRIDAY}
    assert kept["reason"].drop_nulls().to_list() == ["nothing was traded"]
    assert store.read_robustness("costs").height == 6
    assert store.findings() == []


def test_what_a_session_no_longer_has_is_withdrawn_from_it_alone(tmp_path):
    store = fresh(tmp_path)
    for day in (FRIDAY, MONDAY):
        store.write_robustness(robustness_tables(1.0), day, run_id="a", arrived=at(day, 22))
    fewer = robustness_tables(1.5, ("static",))
    account = store.write_robustness(fewer, MONDAY, run_id="b", arrived=at(TUESDAY, 22))["costs"]
    assert (account.restated, account.withdrawn, account.unchanged) == (1, 1, 1)
    counts = store.read_robustness("costs").group_by("date").len().sort("date")
    assert counts.rows() == [(FRIDAY, 3), (MONDAY, 2)]
    assert store.read_robustness("costs", as_of=MONDAY).height == 6
    assert store.findings() == []


def test_robustness_is_written_whole_or_not_at_all(tmp_path):
    store = fresh(tmp_path)
    wrong = robustness_tables(1.0)
    wrong["sensitivity"] = pl.DataFrame(
        [("rsi_swing", "period", "5", 0, 1, *[0.1] * 4, True, True, None)] * 2,
        schema=SENSITIVITY_SCHEMA,
        orient="row",
    )
    with pytest.raises(StoreError, match="E_STORE_ROWS"):
        store.write_robustness(wrong, FRIDAY, run_id="a")
    assert store.read_robustness("costs").is_empty()
