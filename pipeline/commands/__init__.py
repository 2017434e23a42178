"""The public functions behind the commands, one per command, for notebooks as well."""
