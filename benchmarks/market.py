"""A synthetic market of 1,000 symbols and 20 years, against drawing its random numbers alone.

Run it: python benchmarks/market.py
"""

from measured import keep, median_seconds

from backtest import seeds
from backtest.market.synthetic import WorldConfig, _draw, generate, weekdays

SYMBOLS, SESSIONS = 1000, 5040


def main() -> None:
    config, days = WorldConfig(symbols=SYMBOLS), weekdays(SESSIONS)
    key = seeds.integer(config.seed, "market")
    drawn = median_seconds(lambda: [_draw(key, t, config) for t in range(SESSIONS)])
    made = median_seconds(lambda: generate(config, days))
    keep(
        "market", {"market_over_its_draws": made / drawn}, seconds={"draws": drawn, "market": made}
    )


if __name__ == "__main__":
    main()
