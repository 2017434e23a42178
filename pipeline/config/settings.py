"""Settings of one run: every room's own config class, composed and read from one TOML profile.

For: profiles, ``section.key=value`` overrides and the content hash of what was set. Not for: the
meaning of a setting, which stands beside the thing it configures, or where a run keeps its
results (``home``).
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from backtest.errors import ConfigError, DataError, UnknownNameError
from backtest.market.quality import QualityConfig
from backtest.market.synthetic import WorldConfig
from backtest.portfolio.book import BookKind
from backtest.registry import Registry, closest
from backtest.strategy import STRATEGIES
from ml.export.gate import GateConfig
from ml.learner import LEARNERS
from ml.policy import PolicyConfig
from ml.regime import REGIMES
from pipeline.config.sections import (
    TABLES,
    ChecksConfig,
    DataConfig,
    FeedConfig,
    Names,
    Section,
)

PROFILES = Path(__file__).parents[1] / "profiles"
DEFAULT_PROFILE = "demo"
FILES_PROFILE = "files"


class StrategiesConfig(Section):
    """Which strategies the run learns parameters for."""

    names: Annotated[Names, Field(min_length=1)] = ("rsi_swing",)


class BookConfig(Section):
    """How positions become one portfolio."""

    kind: BookKind = "dollar-neutral"


class CostsConfig(Section):
    """What trading costs, in basis points of traded notional per side."""

    cost_bps: Annotated[float, Field(ge=0.0, lt=10_000.0)] = 5.0


class TrackingConfig(Section):
    """Where research runs are tracked; without a server, in a database under the home."""

    uri: str | None = None
    experiment: Annotated[str, Field(min_length=1)] = "weathervane"


class LearningConfig(Section):
    """How the job ``learn`` trains the neural fitter; nothing that is exported reads it.

    Parameters
    ----------
    networks : int
        Of each strategy's ensemble.
    epochs : int
        Most of the first fit's stage one; a later fit goes on from the last for at most ten.
    extractor : str
        Name in ``EXTRACTORS``: ``tcn`` or ``conv_lstm``.
    refinement : str
        Stage two, by what mixes earn: ``gradient``, ``evolution``, ``reinforce`` or ``none``.
    device : str
        ``cpu`` or ``cuda``.
    fast : bool
        On a GPU: bfloat16, compiled networks and algorithms that need not repeat.
    """

    networks: Annotated[int, Field(ge=1, le=16)] = 2
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 60
    extractor: str = "tcn"
    refinement: Literal["gradient", "evolution", "reinforce", "none"] = "gradient"
    device: Literal["cpu", "cuda"] = "cpu"
    fast: bool = False


class Settings(Section):
    """Everything that a run may be told.

    Parameters
    ----------
    profile : str
        Name of the profile it was read from.
    seed : int
        The one seed behind every random draw of the research; a synthetic market has its own.
    """

    profile: str
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig = DataConfig()
    feed: FeedConfig = FeedConfig()
    quality: QualityConfig = QualityConfig()
    checks: ChecksConfig = ChecksConfig()
    world: WorldConfig = WorldConfig()
    strategies: StrategiesConfig = StrategiesConfig()
    book: BookConfig = BookConfig()
    costs: CostsConfig = CostsConfig()
    policy: PolicyConfig = PolicyConfig()
    gate: GateConfig = GateConfig()
    tracking: TrackingConfig = TrackingConfig()
    learning: LearningConfig = LearningConfig()

    @property
    def universe(self) -> str:
        """Name under which bars and results are kept in the store."""
        if self.data.universe:
            return self.data.universe
        if self.data.path is not None:
            stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.data.path.stem)[:40]
            return f"{self.data.provider}-{stem}"
        if self.data.provider != DataConfig().provider:
            return self.data.provider
        world = self.world
        return f"{self.data.provider}-{world.world}-{world.symbols}-seed{world.seed}"

    def hash(self) -> str:
        """SHA-256 of what can change a result: no tracker, no place, no manners, no patience.

        Nor how networks are trained: nothing that is exported reads them.
        A table that is set counts by its content; without the file that is ``E_DATA_PATH``.
        """
        unread = dict.fromkeys(("profile", "tracking", "feed", "checks", "learning"), True)
        content = self.model_dump(mode="json", exclude=unread)
        content["data"].pop("path")
        for name in TABLES:
            place = content["data"].pop(name)
            if place is not None:
                content["data"][name] = _sha256(Path(place))
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise DataError(
            "no such file", where=str(path), fix="check the path", code="E_DATA_PATH"
        ) from None


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that come with the project, sorted."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def load_settings(
    profile: str | None = None, *, path: Path | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """Read a profile, then the data path, then the overrides, in this order.

    Parameters
    ----------
    profile : str, optional
        Name of a profile, or the path of a TOML file; ``demo`` if missing, ``files`` with
        ``path``.
    path : pathlib.Path, optional
        File or folder with bars; implies the provider ``files``.
    overrides : sequence of str
        ``section.key=value`` with a TOML value; a bare word is a string.

    Raises
    ------
    ConfigError
        Unknown profile, section, key or value, with the closest known ones.

    Examples
    --------
    >>> load_settings("demo", overrides=["costs.cost_bps=2"]).costs.cost_bps
    2.0
    """
    name = profile or (FILES_PROFILE if path is not None else DEFAULT_PROFILE)
    file = _profile_path(name)
    values = _read_toml(file)
    section = values.setdefault("data", {})
    if path is not None:
        section.update(provider="files", path=str(Path(path).resolve()))
        _place(section, file.parent, TABLES)
    else:
        _place(section, file.parent, ("path", *TABLES))
    for override in overrides:
        _apply(values, override)
    _place(values.get("data"), Path.cwd(), TABLES)
    values["profile"] = file.stem
    _refuse_unknown(Settings, values, ())
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _explained(error, file, overrides) from None
    _refuse_unknown_parts(settings)
    return settings


def _place(section: Any, folder: Path, names: Sequence[str]) -> None:
    """Make the paths of a section absolute; those that are not are told from ``folder``."""
    for name in names:
        if isinstance(section, dict) and isinstance(section.get(name), str) and section[name]:
            section[name] = str((folder / section[name]).resolve())


def _profile_path(name: str) -> Path:
    """Path of a profile by name, or the file itself."""
    if name in profile_names():
        return PROFILES / f"{name}.toml"
    path = Path(name).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return path.resolve()
    raise ConfigError(
        f"unknown profile {name!r}", fix=closest(name, profile_names()) + " or give a .toml file"
    )


def _read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into plain values."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a TOML file: {error}", where=str(path), fix="mend it") from None


def _apply(values: dict[str, Any], override: str) -> None:
    """Put one ``section.key=value`` into ``values``."""
    key, separator, text = override.partition("=")
    names = [part.strip() for part in key.split(".")]
    if not separator or not all(names):
        raise ConfigError(
            f"{override!r} is no override", fix="write it as section.key=value", code="E_CONFIG"
        )
    at = values
    for name in names[:-1]:
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise ConfigError(f"{name!r} in {override!r} is a value, not a section")
    at[names[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """Read a TOML value; what is none is taken as a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the config class that a field holds, also where it may be missing."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _refuse_unknown(model: type[BaseModel], values: Mapping[str, Any], at: tuple[str, ...]) -> None:
    """Refuse the first unknown section or key, with the closest known ones."""
    for name, value in values.items():
        if name not in model.model_fields:
            kind = "section" if isinstance(value, Mapping) else "setting"
            dotted = ".".join((*at, name))
            known = [field for field in model.model_fields if field != "profile"]
            raise ConfigError(f"unknown {kind} {dotted!r}", fix=closest(name, known))
        inner = _model_of(model.model_fields[name].annotation)
        if inner is not None and isinstance(value, Mapping):
            _refuse_unknown(inner, value, (*at, name))


def _refuse_unknown_parts(settings: Settings) -> None:
    """Refuse a part that no registry holds before anything is computed with the others."""
    named: list[tuple[str, Registry[Any], str]] = [
        *(("strategies.names", STRATEGIES, name) for name in settings.strategies.names),
        ("policy.learner", LEARNERS, settings.policy.learner),
        ("policy.regime_model", REGIMES, settings.policy.regime_model),
    ]
    for setting, registry, name in named:
        try:
            registry.get(name)
        except UnknownNameError as error:
            raise ConfigError(error.what, where=setting, fix=error.fix) from None


def _explained(error: ValidationError, path: Path, overrides: Sequence[str]) -> ConfigError:
    """Make one line of the first validation error."""
    first = error.errors()[0]
    dotted = ".".join(str(part) for part in first["loc"])
    fix = "mend the setting"
    if first["type"] == "literal_error":
        fix = closest(str(first["input"]), re.findall(r"'([^']+)'", str(first["ctx"]["expected"])))
    typed = any(told.partition("=")[0].strip() == dotted for told in overrides)
    return ConfigError(
        f"setting {dotted!r} = {first['input']!r}: {first['msg']}",
        where=f"--set {dotted}" if typed else path.name,
        fix=fix,
    )
