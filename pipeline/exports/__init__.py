"""Exported parameter documents: files, ledger, and what can be read from them.

For: ``publish_document``, ``read_document``, ``preceding``, ``show``, ``explain``, ``diff``,
``history``, ``rollback``, ``code_facts``, ``running_revision`` and ``source_sha256`` under one
name. Not for: what a document says.
"""

from pipeline.exports.code import code_facts, running_revision, source_sha256
from pipeline.exports.ledger import Entry, Ledger, read_ledger
from pipeline.exports.publishing import Exported, publish_document, rollback
from pipeline.exports.reading import History, history, preceding, read_document
from pipeline.exports.telling import Change, diff, diff_lines, explain, history_lines, show

__all__ = [
    "Change",
    "Entry",
    "Exported",
    "History",
    "Ledger",
    "code_facts",
    "diff",
    "diff_lines",
    "explain",
    "history",
    "history_lines",
    "preceding",
    "publish_document",
    "read_document",
    "read_ledger",
    "rollback",
    "running_revision",
    "show",
    "source_sha256",
]
