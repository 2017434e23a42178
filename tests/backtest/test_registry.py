"""A registry whose parts cannot be imported says which file it is, in one line."""

from __future__ import annotations

import pytest

from backtest.errors import PartError
from backtest.params import Range
from backtest.registry import Registry

BROKEN = {
    "a_typo": "from backtest.strategy import STRATEGY\n",
    "reversed_bounds": "from backtest.params import Range\nRANGE = Range(0.5, 0.01)\n",
    "not_python": "def (:\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_imported_is_named(name, tmp_path, monkeypatch):
    folder = tmp_path / f"parts_{name}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / f"{name}.py").write_text(BROKEN[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    registry: Registry[object] = Registry("strategy", folder.name)
    for _ in range(2):  # not only the first time
        with pytest.raises(PartError, match=rf"^E_PART: .*, {folder.name}/{name}.py, mend"):
            registry.names()


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (float("nan"), 1.0)])
def test_bounds_the_wrong_way_round_are_refused(low, high):
    with pytest.raises(ValueError, match="bounds the wrong way round"):
        Range(low, high)
