"""Online learning: models that learn row by row, and know when they stop being right."""
