"""The page of error codes and the source name the same codes."""

import re

from tests.architecture.source_tree import FLOORS, ROOT, modules

PAGE = ROOT / "docs" / "errors.md"
IN_SOURCE = re.compile(r"""["'](E_[A-Z]+(?:_[A-Z]+)*)(?=["':])""")
IN_PAGE = re.compile(r"^\| `(E_[A-Z_]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def used() -> set[str]:
    """Every code that the source can end in."""
    paths = [*modules(*FLOORS), ROOT / ".ci" / "setup"]
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {code for text in texts for code in IN_SOURCE.findall(text)}


def test_each_code_has_one_row_and_each_row_a_code():
    rows = [row[0] for row in IN_PAGE.findall(PAGE.read_text(encoding="utf-8"))]
    assert rows == sorted(set(rows)), "rows stand in order, each once"
    assert used() - set(rows) == set(), "codes without a row"
    assert set(rows) - used() == set(), "rows without a code"


def test_the_classes_of_errors_have_codes_of_their_own():
    from backtest import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)) > 8
