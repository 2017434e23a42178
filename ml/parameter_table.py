"""The learned table itself: scores and shares of every set in every regime, at one session.

For: what is registered as the parameter model, and people who want to see behind a mix. Not for:
another way to decide; the table is taken from the decision path's own selection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.decision import Memo, decide, regimes_of
from ml.history import History
from ml.policy import PolicyConfig
from ml.regime import RegimeFit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ParameterTable:
    """A selection of every strategy.

    Parameters
    ----------
    arrays : dict of str to float64
        By strategy ``<name>/scores`` ``[state, param]`` (Sharpe per session, -inf where a set is
        ineligible), ``<name>/sessions`` ``[state]`` and, where the learner has shares,
        ``<name>/shares`` ``[state, param]``.
    config : dict
        Plain values that say what the rows and columns are.
    """

    arrays: dict[str, Floats]
    config: dict[str, Any]

    def frame(self) -> pl.DataFrame:
        """One row per strategy, state and set.

        Returns
        -------
        polars.DataFrame
            ``strategy, state, regime`` (its name), ``set, parameters`` (JSON), ``score`` (null
            where ineligible), ``share`` (null where the learner has none), ``sessions``.
        """
        parts = []
        for name, facts in self.config["strategies"].items():
            texts = [json.dumps(row, sort_keys=True) for row in facts["sets"]]
            shares = self.arrays.get(f"{name}/shares")
            for k, regime in enumerate(facts["regimes"]):
                score = pl.Series(self.arrays[f"{name}/scores"][k])
                part = pl.DataFrame({"set": np.arange(len(texts)), "parameters": texts})
                parts.append(
                    part.select(
                        pl.lit(name).alias("strategy"),
                        pl.lit(k).alias("state"),
                        pl.lit(regime).alias("regime"),
                        "set",
                        "parameters",
                        score.set(score.is_infinite(), None).alias("score"),
                        pl.lit(None, pl.Float64).alias("share")
                        if shares is None
                        else pl.Series("share", shares[k]),
                        pl.lit(float(self.arrays[f"{name}/sessions"][k])).alias("sessions"),
                    )
                )
        return pl.concat(parts)


def parameter_table(
    history: History, policy: PolicyConfig, *, seed: int, fits: Mapping[int, RegimeFit]
) -> ParameterTable:
    """Take the table that the decision at the last session of ``history`` is read from.

    Parameters
    ----------
    history : History
    policy : PolicyConfig
    seed : int
    fits : mapping of int to RegimeFit
        Of the same policy, state and seed.
    """
    memo, last = Memo(dict(fits)), history.sessions - 1
    decide(last, history, policy, seed=seed, memo=memo)
    at = policy.selected_at(last)
    names = regimes_of(history, policy, seed=seed, memo=memo).names_at(at)
    arrays: dict[str, Floats] = {}
    strategies: dict[str, Any] = {}
    for (_, strategy), (_, selection, _) in memo.selections.items():
        rows = len(selection.scores)
        arrays[f"{strategy}/scores"] = selection.scores
        arrays[f"{strategy}/sessions"] = selection.sessions
        if hasattr(selection, "shares"):
            arrays[f"{strategy}/shares"] = selection.shares
        strategies[strategy] = {
            "regimes": list(names) if rows == len(names) else ["always"] * rows,
            "sets": history.strategies[strategy].grid.rows(),
        }
    config = {
        "policy": policy.model_dump(),
        "selected_at": str(history.dates[at]),
        "strategies": strategies,
    }
    return ParameterTable(arrays, config)
