"""What a run is told and where it keeps things.

For: ``load_settings`` and ``open_home`` under one name. Not for: light pages: the settings name
every room's config class, so import this inside bodies.
"""

from pipeline.config.home import HOME_VARIABLE, Home, home_of, open_home
from pipeline.config.settings import (
    BookConfig,
    CostsConfig,
    DataConfig,
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
    "Home",
    "Settings",
    "StrategiesConfig",
    "TrackingConfig",
    "home_of",
    "load_settings",
    "open_home",
    "profile_names",
]
