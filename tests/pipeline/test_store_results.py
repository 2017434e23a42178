"""What research leaves in the store: sessions, regimes, decisions, returns, evidence."""

from datetime import date

import polars as pl

from tests.pipeline.stored import FRIDAY, MONDAY, at, fresh


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
