"""The one line that a person reads, in this process or out of another one."""

import pickle

from backtest.errors import DataError, WeathervaneError


def test_the_line_is_code_what_where_fix():
    error = DataError("high 9 is below low 10", where="ABC\n2020-01-02", fix="mend it")
    assert str(error) == "E_DATA: high 9 is below low 10, ABC 2020-01-02, mend it"


def test_an_error_of_another_process_is_the_same_line():
    error = DataError("too few", where="here", fix="give more", code="E_TOO_SHORT")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is DataError
    assert (str(again), again.code, again.fix) == (str(error), "E_TOO_SHORT", "give more")
    assert isinstance(again, WeathervaneError)
