"""The yardstick of the sweep: one strategy written out by hand in plain Numba.

For: ``benchmarks/sweep.py``, which asks how much the general engine costs beside it. It knows the
RSI rule alone, long or flat, one smoothing, no reversals, no ruin. Not for: users, and nothing in
the program imports it.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def lowest(_context, _word):
    """Number of the lowest bit that is set."""

    def generate(_context, builder, _signature, words):
        return builder.cttz(words[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def above(_context, _word):
    """Number of zeros above the highest bit that is set."""

    def generate(_context, builder, _signature, words):
        return builder.ctlz(words[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@njit(nogil=True)
def strengths(close, periods, out):
    """Wilder's RSI of each period."""
    for k in range(periods.size):
        p, up, down = periods[k], 0.0, 0.0
        for t in range(1, close.size):
            move = close[t] - close[t - 1]
            gain, loss = max(move, 0.0), max(-move, 0.0)
            if t <= p:
                up, down = up + gain / p, down + loss / p
            else:
                up, down = (up * (p - 1) + gain) / p, (down * (p - 1) + loss) / p
            out[k, t] = 100.0 * up / (up + down) if t >= p and up + down > 0.0 else 50.0


@njit(nogil=True)
def pack(row, low, high, out):
    """One column for each level: below the low ones, above the high ones."""
    for c in range(low.size + high.size):
        for w in range(out.shape[1]):
            word = np.uint64(0)
            for j in range(min(64, row.size - w * 64)):
                value = row[w * 64 + j]
                hit = value < low[c] if c < low.size else value > high[c - low.size]
                word |= np.uint64(hit) << np.uint64(j)
            out[c, w] = word


@njit(nogil=True, error_model="numpy")
def prepare(opens, closes, cost, sums, table):
    """Sums up to each bar, and a disjoint sparse table of low, high and fall."""
    bars = opens.size
    for t in range(bars):
        sums[t] = 0.0
        if t > 0:
            sums[t] = sums[t - 1]
            r = closes[t] / closes[t - 1] - 1.0
            sums[t, 0] += r
            sums[t, 1] += r * r
            sums[t, 2] += min(r, 0.0) ** 2
        table[0, t, 0], table[0, t, 1], table[0, t, 2] = closes[t], closes[t], 0.0
    for level in range(1, table.shape[0]):
        half = 1 << level
        for middle in range(half, bars, 2 * half):
            low, high, fall = closes[middle], closes[middle], 0.0
            for t in range(middle, min(middle + half, bars)):
                low, high = min(low, closes[t]), max(high, closes[t])
                fall = max(fall, 1.0 - closes[t] / high)
                table[level, t, 0], table[level, t, 1], table[level, t, 2] = low, high, fall
            low, high, fall = closes[middle - 1], closes[middle - 1], 0.0
            for t in range(middle - 1, middle - half - 1, -1):
                low, high = min(low, closes[t]), max(high, closes[t])
                fall = max(fall, 1.0 - low / closes[t])
                table[level, t, 0], table[level, t, 1], table[level, t, 2] = low, high, fall


@njit(nogil=True, error_model="numpy")
def summarise(days, trades, bars, periods, row):
    """Fill one row in the order of the engine's columns."""
    total, squares, losses, equity, drawdown, turnover = days
    count, wins, lost_count, won, lost, net_sum = trades
    mean = total / bars
    deviation = np.sqrt(max((squares - mean * total) / (bars - 1), 0.0))
    yearly = equity ** (periods / bars) - 1.0
    row[0], row[1] = equity - 1.0, yearly
    row[2] = mean / deviation * np.sqrt(periods) if deviation > 0.0 else 0.0
    row[3] = deviation * np.sqrt(periods)
    row[4] = mean / np.sqrt(losses / bars) * np.sqrt(periods)
    row[5], row[6], row[7] = drawdown, yearly / drawdown, count
    row[8], row[9] = wins / count, won / -lost
    row[10], row[11], row[12] = won / wins, lost / lost_count, net_sum / count
    row[13] = turnover / bars * periods


@njit(nogil=True, error_model="numpy")
def walk(columns, sets, opens, closes, cost, periods, sums, table, out):
    """Measure every set; ``out`` is ``[set, column]`` in the order of the engine's columns."""
    bars, words = closes.size, columns.shape[1]
    for p in range(sets.shape[0]):
        enter, leave = columns[sets[p, 0]], columns[sets[p, 1]]
        total = squares = losses = turnover = won = lost = net_sum = drawdown = 0.0
        equity = peak = 1.0
        count = wins = lost_count = t = 0
        while t < bars - 1:
            k = t >> 6
            word = (enter[k] >> np.uint64(t & 63)) << np.uint64(t & 63)
            while word == 0 and k + 1 < words:
                k += 1
                word = enter[k]
            if word == 0:
                break
            first = (k << 6) + lowest(word) + 1
            if first >= bars:
                break
            k = first >> 6
            word = ((leave[k] & ~enter[k]) >> np.uint64(first & 63)) << np.uint64(first & 63)
            while word == 0 and k + 1 < words:
                k += 1
                word = leave[k] & ~enter[k]
            t = bars if word == 0 else (k << 6) + lowest(word) + 1
            last = min(t, bars) - 1
            shares = equity / (opens[first] * (1.0 + cost))
            r = closes[first] * shares / equity - 1.0
            total += r + sums[last, 0] - sums[first, 0]
            squares += r * r + sums[last, 1] - sums[first, 1]
            losses += min(r, 0.0) ** 2 + sums[last, 2] - sums[first, 2]
            turnover += 1.0 / (1.0 + cost)
            low, high, fall = closes[first], closes[first], 0.0
            if first != last:
                level = 63 - above(np.uint64(first ^ last))
                left, right = table[level, first], table[level, last]
                low, high = min(left[0], right[0]), max(left[1], right[1])
                fall = max(max(left[2], right[2]), 1.0 - right[0] / left[1])
            drawdown = max(drawdown, max(fall, 1.0 - low * shares / peak))
            peak = max(peak, high * shares)
            worth = closes[last] * shares
            if t >= bars:
                equity = worth
                break
            cash = opens[t] * shares * (1.0 - cost)
            turnover += opens[t] * shares / worth
            r, net = cash / worth - 1.0, cash / equity - 1.0
            total += r
            squares += r * r
            losses += min(r, 0.0) ** 2
            drawdown, peak, equity = max(drawdown, 1.0 - cash / peak), max(peak, cash), cash
            count += 1
            net_sum += net
            if net > 0.0:
                wins, won = wins + 1, won + net
            elif net < 0.0:
                lost_count, lost = lost_count + 1, lost + net
        days = (total, squares, losses, equity, drawdown, turnover)
        trades = (count, wins, lost_count, won, lost, net_sum)
        summarise(days, trades, bars, periods, out[p])


class PlainSweep:
    """Everything that depends on the grid alone: periods, lows and highs, each ascending."""

    def __init__(self, periods, lows, highs, sets):
        self.periods, self.lows, self.highs = periods, lows, highs
        wide = lows.size + highs.size
        k, low, high = sets.T
        self.sets = np.stack([k * wide + low, k * wide + lows.size + high], axis=1)

    def measure(self, opens, closes, cost, periods_per_year, out):
        """Fill ``out`` ``[symbol, set, column]`` from prices ``[symbol, bar]``."""
        bars, wide = closes.shape[1], self.lows.size + self.highs.size
        rows = np.full((self.periods.size, bars), 50.0)
        columns = np.empty((self.periods.size * wide, (bars + 63) // 64), dtype=np.uint64)
        sums, table = np.empty((bars, 3)), np.empty((math.ceil(math.log2(bars)), bars, 3))
        for s in range(closes.shape[0]):
            strengths(closes[s], self.periods, rows)
            for k in range(self.periods.size):
                pack(rows[k], self.lows, self.highs, columns[k * wide : (k + 1) * wide])
            prepare(opens[s], closes[s], cost, sums, table)
            market = (opens[s], closes[s], cost, periods_per_year, sums, table)
            walk(columns, self.sets, *market, out[s])
