"""What every registered source of bars keeps, whether it is asked whole or symbol by symbol."""

import pytest

from pipeline.commands.catalogue import part_lines, parts
from pipeline.provider import PROVIDERS

NAMES = PROVIDERS.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_a_provider_or_a_feed(name):
    part = PROVIDERS.get(name)
    whole, by_symbol = hasattr(part, "fetch"), hasattr(part, "open")
    assert whole != by_symbol
    if by_symbol:
        limits = part.limits
        assert limits.rate_per_s > 0.0
        assert limits.burst >= 1
        assert limits.concurrent >= 1


def test_the_list_says_what_a_source_is_and_what_it_needs():
    found = parts("providers")
    assert tuple(found) == NAMES
    for name, line in zip(NAMES, part_lines(found), strict=True):
        kind = "feed" if hasattr(PROVIDERS.get(name), "open") else "provider"
        assert line.split()[:3] == [name, kind, "needs"]
        assert found[name]["about"] in line
    assert "APCA_API_" in found["alpaca"]["needs"]
    assert found["files"]["needs"] == "data.path"
