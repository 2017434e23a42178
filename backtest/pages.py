"""A page as a list of blocks, rendered to Markdown and to one self-contained HTML file.

For: headings, paragraphs, tables and pictures that must read alike in both forms. Not for: what a
page says (``report``) or how a plot is drawn (``plots``).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1120px;margin:2rem auto}
body{padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:1px solid #d5dce3}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:.25rem .55rem;border-bottom:1px solid #e3e8ed;text-align:right;white-space:nowrap}
.words{text-align:left}td.words{white-space:normal}
.note{background:#fff4d6;border-left:4px solid #d99a00;padding:.5rem .9rem}
img{max-width:100%;height:auto}.scroll{overflow-x:auto}
"""


@dataclass(frozen=True)
class Heading:
    """A title; level 1 opens the page."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text; ``note`` sets it apart, as a warning."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Table:
    """Plain cells under their headers; the first ``words`` columns hold words, not numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A PNG, its file name beside the Markdown, and what it shows."""

    name: str
    png: bytes
    caption: str


Block = Heading | Paragraph | Table | Picture


def cell(value: float | None, form: str) -> str:
    """Write a value into a table; what is undefined is a dash."""
    return "-" if value is None else form.format(value)


def to_markdown(blocks: Sequence[Block]) -> str:
    """Render blocks as Markdown that refers to pictures by file name."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return "#" * block.level + " " + block.text
    if isinstance(block, Paragraph):
        return f"> **{block.text}**" if block.note else block.text
    if isinstance(block, Picture):
        return f"![{block.caption}]({block.name})"
    rule = " | ".join("---" if i < block.words else "---:" for i in range(len(block.header)))
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in block.rows]
    return "\n".join(f"| {line} |" for line in (" | ".join(block.header), rule, *rows))


def to_html(blocks: Sequence[Block], *, title: str) -> str:
    """Render blocks as one HTML file with its pictures inside; nothing is fetched."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        mark = ' class="note"' if block.note else ""
        return f"<p{mark}>{html.escape(block.text)}</p>"
    if isinstance(block, Picture):
        coded = base64.b64encode(block.png).decode("ascii")
        words = html.escape(block.caption)
        return f'<p><img alt="{words}" src="data:image/png;base64,{coded}"></p>'
    head = _row("th", block.header, block.words)
    rows = "".join(_row("td", row, block.words) for row in block.rows)
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _row(tag: str, cells: Sequence[str], words: int) -> str:
    marks = (' class="words"' if i < words else "" for i in range(len(cells)))
    inside = (f"<{tag}{m}>{html.escape(c)}</{tag}>" for m, c in zip(marks, cells, strict=True))
    return f"<tr>{''.join(inside)}</tr>"
