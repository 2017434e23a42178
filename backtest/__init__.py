"""The ground floor: markets, strategies, fills, costs, books, metrics and their evidence."""

from backtest.kernel_cache import keep_apart

keep_apart()
