"""MLflow: research runs and registered models.

For: ``open_tracker`` and what it returns under one name; importing this does not import MLflow.
Not for: what is logged, which the assets say.
"""

from pipeline.tracker.client import artifact_root, tracking_uri
from pipeline.tracker.folder import Loaded, Signature
from pipeline.tracker.registry import Registered, Scope
from pipeline.tracker.runs import Research, fingerprint
from pipeline.tracker.tracker import (
    FITTER_MODEL,
    PARAMETERS_MODEL,
    REGIME_MODEL,
    Tracker,
    open_tracker,
)

__all__ = [
    "FITTER_MODEL",
    "PARAMETERS_MODEL",
    "REGIME_MODEL",
    "Loaded",
    "Registered",
    "Research",
    "Scope",
    "Signature",
    "Tracker",
    "artifact_root",
    "fingerprint",
    "open_tracker",
    "tracking_uri",
]
