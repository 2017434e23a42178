"""What exists, and what is computed from what: one file per stage."""
