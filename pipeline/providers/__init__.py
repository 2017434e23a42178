"""Sources of bars, one per file. For: parts of ``pipeline.provider``. Not for: anything else."""
