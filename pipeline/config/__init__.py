"""What a run is told and where it keeps things.

For: ``load_settings`` and ``open_home`` under one name. Not for: anything else. The settings name
every room's config class, which takes a second to import, so they are loaded on first use:
finding the home stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pipeline.config.home import HOME_VARIABLE, Home, home_of, open_home

if TYPE_CHECKING:
    from pipeline.config.settings import (
        BookConfig,
        CostsConfig,
        DataConfig,
        FeedConfig,
        Settings,
        StrategiesConfig,
        TrackingConfig,
        load_settings,
        profile_names,
    )

__all__ = [
    "HOME_VARIABLE",
    "BookConfig",
    "CostsConfig",
    "DataConfig",
    "FeedConfig",
    "Home",
    "Settings",
    "StrategiesConfig",
    "TrackingConfig",
    "home_of",
    "load_settings",
    "open_home",
    "profile_names",
]


def __getattr__(name: str) -> Any:
    """Load the settings when one of their names is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("pipeline.config.settings"), name)
