"""The one Definitions object: what Dagster sees of this project.

For: putting together assets, checks, jobs, schedules, sensors and resources. Not for: any of them.
Every step of Dagster imports this page, so nothing heavy may be imported by it.
"""

import dagster as dg

import assets
from pipeline.checks import CHECKS
from pipeline.jobs import JOBS
from pipeline.progress import LOGGER, progress_logger
from pipeline.resources import resources
from pipeline.schedules import SCHEDULES
from pipeline.sensors import SENSORS

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources=resources(),
    loggers={LOGGER: progress_logger},
    executor=dg.in_process_executor,
)
