"""The learned table itself: scores and shares of every set in every regime, at one session.

For: what is registered as the parameter model, the parameters of a regime asked by its name, and
people who want to see behind a mix. Not for: another way to decide; the table is taken from the
decision path's own selection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import UnknownNameError
from ml.decision import Memo, regimes_of, selected
from ml.history import History
from ml.learner import held_sets
from ml.policy import PolicyConfig
from ml.regime import RegimeFit

Floats = npt.NDArray[np.float64]

ALWAYS = "always"
"""Name of the one regime of a learner that knows none."""


@dataclass(frozen=True)
class RegimeParameters:
    """What one strategy would run if a regime were certain.

    Parameters
    ----------
    regimes : tuple of str
        Names of the regimes that the question covers, those with sessions behind them first.
    parameters : dict, optional
        The heaviest member; None where no set is eligible.
    mix : tuple of dict
        ``weight`` and ``parameters`` of every member, heaviest first; what the weights lack to 1
        stays in cash. Empty where the learner keeps no shares.
    score : float, optional
        Sharpe ratio per session of the heaviest member in these regimes.
    sessions : float
        Effective number of sessions behind them.
    """

    regimes: tuple[str, ...]
    parameters: dict[str, Any] | None
    mix: tuple[dict[str, Any], ...]
    score: float | None
    sessions: float


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

    def get_regime_specific_parameters(self, regime: str) -> dict[str, RegimeParameters]:
        """Give the parameters that each strategy would run in a regime.

        Parameters
        ----------
        regime : str
            A whole name (``"bull calm thin dispersed"``), or one or more words of it (``"bull"``,
            ``"bear volatile"``): then all regimes that carry them, by the sessions behind each.

        Returns
        -------
        dict of str to RegimeParameters
            By strategy. A strategy whose learner knows no regimes answers any with its own.

        Raises
        ------
        UnknownNameError
            ``E_UNKNOWN_REGIME``: no regime of the table carries these words.
        """
        strategies = self.config["strategies"]
        known = list(dict.fromkeys(n for one in strategies.values() for n in one["regimes"]))
        named = [name for name in known if name != ALWAYS]
        asked = set(regime.split())
        chosen = [name for name in named if asked and asked <= set(name.split())]
        if named and not chosen:
            raise UnknownNameError(
                f"no state of the fit in force on {self.config['selected_at']} is {regime!r}",
                where="parameter table",
                fix="known: " + ", ".join(named),
                code="E_UNKNOWN_REGIME",
            )
        return {name: self._of(name, {*chosen, ALWAYS}) for name in strategies}

    def _of(self, strategy: str, chosen: set[str]) -> RegimeParameters:
        """Average the rows of the chosen regimes by the sessions behind them."""
        facts = self.config["strategies"][strategy]
        rows = [k for k, name in enumerate(facts["regimes"]) if name in chosen]
        mass = self.arrays[f"{strategy}/sessions"][rows]
        rows = [rows[k] for k in np.argsort(-mass, kind="stable")]
        mass = np.sort(mass)[::-1]
        weight = mass / mass.sum() if mass.sum() > 0.0 else np.full(len(rows), 1.0 / len(rows))
        table = self.arrays[f"{strategy}/scores"][rows]
        seen = np.isfinite(table)
        known_mass = weight @ seen  # [P]
        able = known_mass > 0.0
        total = weight @ np.where(seen, table, 0.0)
        scores = np.where(able, total / np.where(able, known_mass, 1.0), -np.inf)  # [P]
        mix, best = [], int(scores.argmax())
        if f"{strategy}/shares" in self.arrays:
            shares = weight @ self.arrays[f"{strategy}/shares"][rows]  # [P]
            held = held_sets(shares)
            mix = [{"weight": float(shares[p]), "parameters": facts["sets"][p]} for p in held]
            best = held[0] if held else best
        known = bool(able[best])
        return RegimeParameters(
            regimes=tuple(dict.fromkeys(facts["regimes"][k] for k in rows)),
            parameters=dict(facts["sets"][best]) if known else None,
            mix=tuple(mix),
            score=float(scores[best]) if known else None,
            sessions=float(mass.sum()),
        )


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
    kept = selected(last, history, policy, seed=seed, memo=memo)
    at = policy.selected_at(last)
    names = regimes_of(history, policy, seed=seed, memo=memo).names_at(at)
    arrays: dict[str, Floats] = {}
    strategies: dict[str, Any] = {}
    for strategy, selection in kept.items():
        rows = len(selection.scores)
        arrays[f"{strategy}/scores"] = selection.scores
        arrays[f"{strategy}/sessions"] = selection.sessions
        if hasattr(selection, "shares"):
            arrays[f"{strategy}/shares"] = selection.shares
        strategies[strategy] = {
            "regimes": list(names) if rows == len(names) else [ALWAYS] * rows,
            "sets": history.strategies[strategy].grid.rows(),
        }
    config = {
        "policy": policy.model_dump(),
        "selected_at": str(history.dates[at]),
        "strategies": strategies,
    }
    return ParameterTable(arrays, config)
