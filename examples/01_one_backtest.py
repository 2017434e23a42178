"""One backtest, from bars to numbers: no orchestrator, no database, no files.

Run it: python examples/01_one_backtest.py
"""

from datetime import date

from backtest.engine.costs import cost_per_side
from backtest.engine.sweep import backtest
from backtest.market.calendar import sessions
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from backtest.strategy import STRATEGIES
from backtest.tables import metrics_table, trades_table


def main() -> None:
    # A synthetic market: three symbols, one and a half years, the same on every machine.
    days = sessions("XNYS", FIRST_SESSION, date(2011, 6, 30))
    world = generate(WorldConfig(world="clear", symbols=3, seed=1), days)
    panel = Panel.from_frame(world.bars)

    # A strategy is a pure function of past bars; its parameters are checked against their bounds.
    rule = STRATEGIES.get("rsi_reversion")
    params = rule.params.parse({"period": 9, "oversold": 35, "overbought": 65})

    # What is decided at a close is filled at the next open, and every fill pays the cost.
    accounts = backtest(panel, rule, params, cost=cost_per_side(5))

    print(trades_table(panel, accounts).head(5))
    for symbol, found in metrics_table(panel, accounts).items():
        sharpe = "undefined" if found["sharpe"] is None else f"{found['sharpe']:+.2f}"
        print(f"{symbol:<8} Sharpe {sharpe:>9}   total return {found['total_return']:+.1%}")


if __name__ == "__main__":
    main()
