"""The ground floor: markets, strategies, fills, costs, books, metrics and their evidence."""
