"""Features, one file per family. For: expressions over bars known at the close. Not for: labels."""
