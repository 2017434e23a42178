"""MLflow: research runs and registered models.

For: ``open_tracker`` and what it returns under one name; importing this does not import MLflow.
Not for: what is logged, which the assets say.
"""

from pipeline.tracker.client import artifact_root, tracking_uri
from pipeline.tracker.folder import Loaded, Signature
from pipeline.tracker.registry import Registered, Scope
from pipeline.tracker.runs import Research, fingerprint
from pipeline.tracker.tracker import (
    OURS,
    PARAMETERS_MODEL,
    REGIME_MODEL,
    Tracker,
    fitter_model,
    open_tracker,
)

__all__ = [
    "OURS",
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
    "fitter_model",
    "open_tracker",
    "tracking_uri",
]
