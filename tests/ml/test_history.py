"""What a history refuses to be made of."""

import dataclasses

import pytest

from backtest.errors import ConfigError
from tests.ml.histories import planted_history


def test_every_session_has_its_row_of_state() -> None:
    history = planted_history()
    with pytest.raises(ConfigError, match=r"E_CONFIG: \d+ rows of market state for \d+ sessions"):
        dataclasses.replace(history, state=history.state[5:])
