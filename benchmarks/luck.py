"""The statistics against fooling oneself, against their plain forms.

Run it: python benchmarks/luck.py

The probability of backtest overfitting of 50 streams of 1,024 sessions in 16 blocks with its null
distribution, against one split at a time on whole samples; the deflated Sharpe ratio over 100,000
trials.
"""

from itertools import combinations, islice
from math import comb

import numpy as np
from measured import keep, median_seconds

from backtest.evidence.overfitting import probability_of_overfitting
from backtest.evidence.sharpe import Moments, deflated_best

STREAMS, SESSIONS, BLOCKS, SOME = 50, 1024, 16, 200


def plain(returns: np.ndarray) -> None:
    """Judge the first splits of whole samples, one at a time."""
    parts = np.split(returns, BLOCKS, axis=1)
    for chosen in islice(combinations(range(BLOCKS), BLOCKS // 2), SOME):
        seen = np.concatenate([parts[k] for k in chosen], axis=1)
        unseen = np.concatenate([parts[k] for k in range(BLOCKS) if k not in chosen], axis=1)
        best = np.argmax(seen.mean(axis=1) / seen.std(axis=1, ddof=1))
        ratio = unseen.mean(axis=1) / unseen.std(axis=1, ddof=1)
        np.argsort(ratio).tolist().index(best)


def main() -> None:
    source = np.random.default_rng(0)
    returns = source.normal(0.0, 0.01, (STREAMS, SESSIONS))
    alone = median_seconds(lambda: probability_of_overfitting(returns, blocks=BLOCKS, draws=0))
    whole = median_seconds(lambda: probability_of_overfitting(returns, blocks=BLOCKS))
    slow = median_seconds(lambda: plain(returns)) * comb(BLOCKS, BLOCKS // 2) / SOME
    sharpes = source.normal(0.0, 0.02, 100_000)
    best = Moments(float(sharpes.max()), 2520)
    deflated = median_seconds(lambda: deflated_best(best, sharpes))
    keep(
        "luck",
        {"plain_over_pbo": slow / alone, "pbo_with_null_over_pbo": whole / alone},
        seconds={"pbo": alone, "pbo_with_null": whole, "plain": slow, "dsr_100k": deflated},
    )


if __name__ == "__main__":
    main()
