"""What a walk-forward leaves: trials counted once, and evidence that keeps its schema."""

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest

from backtest.market.panel import Panel
from ml.corpus import WalkSpec, corpus
from ml.evidence import Evidence, evidence_schema, rival_sharpes
from ml.export.gate import boundary
from ml.trials import merged, trial_frame
from ml.walk_tables import (
    trials_frame,
)
from ml.walkforward import WalkForward, walk_forward
from tests.ml.small_walk import NAME, POLICY, SPEC, VARIANTS


def test_every_trial_counts_once(walk: WalkForward):
    trials = trials_frame(walk)
    kinds = dict(trials["kind"].value_counts().iter_rows())
    # the default is one of the candidates; exported follows others and is no policy of its own
    assert kinds == {"candidate": 140, "policy": len(VARIANTS) - 1}
    assert trials["config_hash"].n_unique() == trials.height
    assert merged(trials, trials).height == trials.height
    assert walk.strategies[NAME].policies == len(VARIANTS) - 1


def test_the_ledger_counts_what_was_looked_at_before(panel: Panel, walk: WalkForward):
    known, ledger = corpus(panel.until(210), NAME, SPEC, progress=None), trials_frame(walk)

    def policies(spec: WalkSpec, seen: pl.DataFrame) -> int:
        run = walk_forward(
            panel.until(210),
            [NAME],
            spec,
            corpora={NAME: known},
            fits=walk.regimes.fits,
            ledger=seen,
        )
        return run.strategies[NAME].policies

    empty = trial_frame([])
    warmer = dataclasses.replace(SPEC, policy=POLICY.model_copy(update={"temperature": 0.03}))
    assert policies(SPEC, empty) == policies(SPEC, ledger) == len(VARIANTS) - 1
    # every learned policy carries its policy's settings; the fixed rules were seen before
    more = policies(warmer, ledger) - policies(SPEC, ledger)
    assert 3 <= more <= 4


@pytest.mark.parametrize("looked", [0, 3, 10])
def test_a_policy_tried_later_changes_no_earlier_verdict(
    panel: Panel, walk: WalkForward, looked: int
):
    """Twenty others over the same span, first looked at so many sessions before the last one."""
    late = datetime.fromisoformat(f"{panel.dates[-1 - looked]}T23:00:00+00:00")
    own = trials_frame(walk).filter(kind="policy")
    row = own.drop_nulls("champion")
    rows = [row.with_columns(config_hash=pl.lit(f"late-{n}")) for n in range(20)]
    early = own.with_columns(known_at=pl.lit(late - timedelta(days=400)))
    ledger = pl.concat([early, pl.concat(rows).with_columns(known_at=pl.lit(late))])
    known = {NAME: walk.strategies[NAME].corpus}
    after = walk_forward(
        panel, [NAME], SPEC, corpora=known, fits=walk.regimes.fits, ledger=ledger
    ).strategies[NAME]
    before = walk.strategies[NAME]
    assert after.policies == before.policies + 20
    assert after.registration == before.registration  # a later batch takes nothing from this one
    same = [a == b for a, b in zip(after.verdicts, before.verdicts, strict=True)]
    changed = looked + 2  # the session before it is judged by what was known then
    assert same == [True] * (len(same) - changed) + [False] * changed


def test_trying_on_until_one_passes_costs_more_each_time(panel: Panel, walk: WalkForward):
    """The same data under a policy that was tweaked: the next batch, with a smaller alpha."""
    seen = trials_frame(walk)
    tweaked = dataclasses.replace(SPEC, policy=POLICY.model_copy(update={"temperature": 0.03}))
    known = {NAME: walk.strategies[NAME].corpus}
    again = walk_forward(panel, [NAME], tweaked, corpora=known, fits=walk.regimes.fits, ledger=seen)
    first, second = walk.strategies[NAME], again.strategies[NAME]
    assert (first.registration.batch, second.registration.batch) == (1, 2)
    limits = [
        next(c.limit for c in one.verdict.criteria if c.name == "paired_static")
        for one in (first, second)
    ]
    n = first.verdict.observations
    alphas = [0.05 * 6 / np.pi**2 / batch**2 for batch in (1, 2)]
    assert limits == pytest.approx([boundary(n, alpha=alpha) for alpha in alphas])


def test_luck_is_spread_by_the_other_learned_policies_alone(walk: WalkForward):
    net = {name: np.array([0.01, 0.03]) for name in VARIANTS}
    net["static"] = np.array([-0.03, -0.01])  # a loss is as good as nothing
    net = {name: np.tile(series, 50) for name, series in net.items()}
    ratio = 0.02 / np.std(net["experts"], ddof=1)
    assert rival_sharpes(net) == pytest.approx([0.0, ratio])
    assert rival_sharpes(net, "regime_aware_single") == pytest.approx([0.0, ratio])
    assert rival_sharpes(net, "static") == pytest.approx([ratio, ratio])
    assert rival_sharpes({"default": net["default"], "exported": net["exported"]}).size == 0


def test_evidence_keeps_its_schema(evidence: Evidence):
    path = Path(__file__).parents[2] / "docs" / "schemas" / "evidence.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema == evidence_schema(), "write the file anew from ml.evidence.evidence_schema()"
    document = json.loads(evidence.model_dump_json())
    jsonschema.validate(document, schema)


def test_evidence_is_whole(evidence: Evidence):
    assert evidence.reasons == {}
    assert evidence.pbo == evidence.strategies[NAME].best_of_grid.pbo
    assert evidence.spa_p_value is not None
    assert evidence.confidence_set
    assert set(evidence.confidence_set) <= VARIANTS - {"exported", "regime_aware_single"}
    assert not evidence.promoted
    assert evidence.synthetic
    assert evidence.sessions == 139
    one = evidence.strategies[NAME]
    assert set(one.variants) == VARIANTS
    assert {line.criterion for line in evidence.criteria} >= {"paired_static", "psr", "dsr"}
    assert all(line.strategy == NAME for line in evidence.criteria)
    assert one.smallest_gain is not None
    assert one.smallest_gain > 1.0  # less than a year shows next to nothing
    aware = one.variants["regime_aware"]
    assert aware.sharpe is not None
    assert aware.sharpe_interval is not None
    assert aware.sharpe_interval[0] < aware.sharpe < aware.sharpe_interval[1]
    assert aware.trials == one.policies


def test_one_strategy_is_all_of_them(evidence: Evidence):
    """Equal streams have equal numbers, their bootstrap intervals included."""
    assert evidence.variants == evidence.strategies[NAME].variants


def test_evidence_by_hand(walk: WalkForward, evidence: Evidence):
    net = walk.streams(NAME).net["static"]
    one = evidence.strategies[NAME].variants["static"]
    assert one.sharpe == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    assert one.volatility == pytest.approx(net.std(ddof=1) * np.sqrt(252))
    assert one.total_return == pytest.approx(np.prod(1.0 + net) - 1.0)
    turnover = walk.streams(NAME).turnover["static"]
    assert one.turnover == pytest.approx(turnover.mean() * 252)
    gross = net + 0.0005 * turnover
    assert one.cost_break_even_bps == pytest.approx(gross.sum() / turnover.sum() * 1e4)
