"""Named selections of assets: what people and schedules start.

For: ``ingest``, ``research``, ``daily`` and ``prove``. Not for: when they run (``schedules``).
"""

import dagster as dg

INGEST = dg.AssetSelection.groups("ingest")
EXPORT = dg.AssetSelection.assets("regime_parameters", "store_backup")
PROOF = dg.AssetSelection.groups("proof")
LEARNING = dg.AssetSelection.groups("learning")

ingest = dg.define_asset_job(
    "ingest",
    selection=INGEST,
    description="Fetch bars, judge them and keep the good ones in the store.",
    executor_def=dg.in_process_executor,
)

research = dg.define_asset_job(
    "research",
    selection=dg.AssetSelection.all() - EXPORT - PROOF - LEARNING,
    description="From bars to the evidence, the registered models and the report.",
    executor_def=dg.in_process_executor,
)

daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.all() - PROOF - LEARNING,
    description="The whole chain up to the parameter document of one session.",
    executor_def=dg.in_process_executor,
)

prove = dg.define_asset_job(
    "prove",
    selection=PROOF,
    description="Synthetic markets with a known truth: what is there is found, and nothing else.",
    executor_def=dg.in_process_executor,
)

JOBS = (ingest, research, daily, prove)
