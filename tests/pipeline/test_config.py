"""Profiles, overrides, the home, and the line a wrong one ends in."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import pipeline.config
from backtest.errors import ConfigError, DataError, StoreError
from pipeline.collecting.fetching import labels_of
from pipeline.config import Home, Settings, home_of, load_settings, open_home, profile_names


def line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_profiles_that_come_with_the_project():
    assert profile_names() == ("demo", "files", "yahoo")


def test_demo_is_a_synthetic_market_with_a_fixed_first_session():
    settings = load_settings()
    assert settings.profile == "demo"
    assert settings.data.provider == "synthetic"
    assert settings.data.first_session == date(2013, 1, 2)
    assert settings.world.world == "clear"
    assert 60 <= settings.world.symbols <= 100
    assert settings.strategies.names == ("rsi_swing", "rsi_reversion", "ma_cross")
    assert settings.book.kind == "dollar-neutral"
    assert settings.costs.cost_bps == 5.0


def test_every_profile_spells_out_the_schedule():
    for name in profile_names():
        policy = load_settings(name).policy
        assert (policy.train, policy.step, policy.refit) == (756, 5, 125)
        assert (policy.learner, policy.regime_model) == ("regime_table", "hmm")


def test_finding_the_home_loads_no_settings():
    code = "import sys, pipeline.config as c; c.home_of('x'); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    with pytest.raises(AttributeError):
        pipeline.config.absent  # noqa: B018


def test_a_path_implies_files(tmp_path):
    settings = load_settings(path=tmp_path / "my bars.parquet")
    assert (settings.profile, settings.data.provider) == ("files", "files")
    assert settings.data.path == tmp_path / "my bars.parquet"
    assert settings.universe == "files-my-bars"


def test_a_path_beats_the_profile_and_an_override_beats_both(tmp_path):
    settings = load_settings("demo", path=tmp_path, overrides=["data.universe=mine", "seed=7"])
    assert settings.data.provider == "files"
    assert settings.universe == "mine"
    assert settings.seed == 7


def test_overrides_read_toml_values_and_bare_words():
    given = [
        "world.world=murky",
        "world.symbols=5",
        'strategies.names=["ma_cross"]',
        "data.first_session=2015-01-02",
        "tracking.uri=http://127.0.0.1:5000",
    ]
    settings = load_settings("demo", overrides=given)
    assert settings.world.world == "murky"
    assert settings.strategies.names == ("ma_cross",)
    assert settings.data.first_session == date(2015, 1, 2)
    assert settings.tracking.uri == "http://127.0.0.1:5000"
    assert settings.universe == "synthetic-murky-5-seed0"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dta.provider=files", "unknown section 'dta', did you mean 'data'?"),
        ("data.provder=files", "unknown setting 'data.provder', did you mean 'provider'?"),
        ("sead=1", "unknown setting 'sead', did you mean 'seed'"),
        ("world.world=cleer", "did you mean 'clear'?"),
        ("book.kind=long", "did you mean 'long-only'?"),
        ("strategies.names=['rsi_swng']", "did you mean 'rsi_swing'"),
        ("policy.learner=regime_tabel", "did you mean 'regime_table'"),
        ("policy.regime_model=hnm", "did you mean 'hmm'"),
        ("policy.trian=500", "unknown setting 'policy.trian', did you mean 'train'?"),
        ("policy.train=5", "greater than or equal to 60"),
        ("policy.window=rollin", "did you mean 'rolling'?"),
        ("gate.alpha=0.7", "'gate.alpha' = 0.7"),
        ("costs.cost_bps=-1", "'costs.cost_bps' = -1"),
        ("costs.cost_bps=10000", "less than 10000"),
        ("costs.cost_bps=nan", "finite"),
        ("data.first_session=soon", "'data.first_session' = 'soon'"),
        ("world.symbols=0", "greater than or equal to 1"),
        ("world=clear", "'world' = 'clear'"),
        ("seed", "write it as section.key=value"),
        ("=1", "write it as section.key=value"),
        ("data.provider.name=x", "is a value, not a section"),
    ],
)
def test_a_wrong_override_is_one_line(override, words):
    with pytest.raises(ConfigError, match=r"^E_CONFIG: ") as error:
        load_settings("demo", overrides=[override])
    assert words in line(error)


@pytest.mark.parametrize("text", ["A,SAP.DE", " A , SAP.DE ", '["A", "SAP.DE"]'])
def test_names_may_be_typed_with_commas(text):
    assert load_settings("demo", overrides=[f"data.symbols={text}"]).data.symbols == ("A", "SAP.DE")


def test_an_error_says_whether_the_override_or_the_profile_is_wrong(tmp_path):
    with pytest.raises(ConfigError, match=r", --set policy\.train, mend the setting$"):
        load_settings("demo", overrides=["policy.train=5"])
    (tmp_path / "own.toml").write_text("[policy]\ntrain = 5\n")
    with pytest.raises(ConfigError, match=r", own\.toml, mend the setting$"):
        load_settings(str(tmp_path / "own.toml"))


def test_an_empty_path_undoes_the_table_of_a_profile():
    assert load_settings("yahoo").data.members is not None
    assert load_settings("yahoo", overrides=['data.members=""']).data.members is None
    assert load_settings("yahoo", overrides=["data.members="]).data.members is None


def test_a_symbol_that_is_no_member_is_not_left_out_silently():
    settings = load_settings("yahoo", overrides=["data.symbols=AAPPL,MSFT"])
    with pytest.raises(DataError, match=r"^E_SYMBOL: 'AAPPL' is not .* did you mean 'AAPL'"):
        settings.data.read_members()


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match=r"E_CONFIG: unknown profile 'dmo', did you mean 'demo'"):
        load_settings("dmo")


def test_a_profile_of_your_own_finds_bars_beside_itself(tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[data]\nprovider = "files"\npath = "bars.csv"\n[costs]\ncost_bps = 1\n'
    )
    settings = load_settings(str(tmp_path / "mine.toml"))
    assert settings.profile == "mine"
    assert settings.data.path == tmp_path / "bars.csv"
    assert settings.costs.cost_bps == 1.0


@pytest.mark.parametrize("text", ["[data\n", "a = 1\na = 2\n", "\xff\xfe"])
def test_a_file_that_is_no_toml_is_one_line(tmp_path, text):
    (tmp_path / "bad.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^E_CONFIG: not a TOML file.*bad\.toml"):
        load_settings(str(tmp_path / "bad.toml"))


def test_a_value_where_a_section_belongs_is_one_line(tmp_path):
    (tmp_path / "bad.toml").write_text("data = 3\n")
    with pytest.raises(ConfigError, match="E_CONFIG: setting 'data' = 3"):
        load_settings(str(tmp_path / "bad.toml"))


def test_the_hash_moves_with_what_changes_results_only(tmp_path):
    plain = load_settings("demo")
    assert plain.hash() == load_settings("demo").hash()
    assert plain.hash() == load_settings("demo", overrides=["tracking.uri=http://x"]).hash()
    assert plain.hash() == load_settings("demo", overrides=["learning.epochs=3"]).hash()
    assert plain.hash() != load_settings("demo", overrides=["costs.cost_bps=4"]).hash()
    here, there = load_settings(path=tmp_path / "a"), load_settings(path=tmp_path / "b" / "a")
    assert here.hash() == there.hash()


def test_a_table_of_members_counts_by_its_content(tmp_path):
    text = "symbol,valid_from,valid_to\nA,2024-01-02,\nB,2024-01-02,\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "members.csv").write_text(text)
    (tmp_path / "a" / "mine.toml").write_text('[data]\nmembers = "members.csv"\n')
    beside = load_settings(str(tmp_path / "a" / "mine.toml"))
    assert beside.data.members == tmp_path / "a" / "members.csv"
    assert beside.data.read_members()["symbol"].to_list() == ["A", "B"]
    one, two = (
        load_settings("demo", overrides=[f"data.members={tmp_path / folder / 'members.csv'}"])
        for folder in ("a", "b")
    )
    plain, known = load_settings("demo").hash(), one.hash()
    assert known == two.hash() != plain
    (tmp_path / "b" / "members.csv").write_text(text.replace("B", "C"))
    assert two.hash() != known
    (tmp_path / "b" / "members.csv").unlink()
    with pytest.raises(DataError, match=r"^E_DATA_PATH: no such file, .*members\.csv"):
        two.hash()


def test_a_feed_is_asked_for_the_members_that_are_named(tmp_path):
    (tmp_path / "m.csv").write_text(
        "symbol,valid_from,valid_to,exchange\n"
        "A,2020-01-02,2020-03-02,XNYS\nA,2021-01-04,,XETR\nB,2020-01-02,2020-03-02,\n"
    )
    told = [f"data.members={tmp_path / 'm.csv'}"]
    asked = labels_of(load_settings("demo", overrides=told))
    assert asked.rows() == [("A", "XETR"), ("B", None)]
    assert labels_of(load_settings("demo", overrides=[*told, 'data.symbols=["B"]'])).rows() == [
        ("B", None)
    ]
    assert labels_of(load_settings("demo", overrides=['data.symbols=["X"]'])).rows() == [
        ("X", None)
    ]


def test_settings_survive_json():
    settings = load_settings("demo")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_home_by_option_then_environment_then_project(tmp_path, monkeypatch):
    monkeypatch.setenv("WEATHERVANE_HOME", str(tmp_path / "env"))
    assert home_of(tmp_path / "option") == tmp_path / "option"
    assert home_of() == tmp_path / "env"
    monkeypatch.delenv("WEATHERVANE_HOME")
    project = Path(__file__).parents[2]
    monkeypatch.chdir(project / "tests")
    if (project / "dagster.yaml").is_file():
        assert home_of() == project / ".weathervane"
    monkeypatch.chdir(tmp_path)
    assert home_of() == tmp_path / ".weathervane"
    assert not (tmp_path / ".weathervane").exists()


def test_open_home_makes_the_promised_folders(tmp_path):
    home = open_home(tmp_path / "home")
    promised = ("store", "snapshots", "truth", "exports/parameters", "reports", "dagster", "mlflow")
    assert all((tmp_path / "home" / name).is_dir() for name in promised)
    assert home == Home(tmp_path / "home")
    assert [p for p in home.root.rglob("*") if p.is_file()] == []


def test_a_home_under_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"^E_HOME: the home cannot be written \(Not a directory"):
        open_home(tmp_path / "file" / "home")


def test_a_read_only_home_is_one_line(tmp_path, monkeypatch):
    """The system's refusal is injected: a test that runs as root would be let through."""
    open_home(tmp_path)

    def refuse(*_args, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(StoreError, match=r"^E_HOME: .*Read-only file system.*--home") as error:
        open_home(tmp_path)
    line(error)
