"""The quality of a person's bars: what was found, by which rule, and how bad.

For: ``weathervane quality``. Not for: the quality of the chain's bars, which the asset
``quality_report`` shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import (
    results_folder,
    write_bytes,
    write_json,
    write_parquet,
    write_text,
)

if TYPE_CHECKING:
    from backtest.quality_page import QualityStory


def judge_quality(
    source: Path,
    *,
    out: Path,
    calendar: str | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge bars and write what was found.

    Parameters
    ----------
    source : pathlib.Path
        A Parquet or CSV file, or a folder of them.
    out : pathlib.Path
        Folder for ``quality.json``, ``findings.parquet``, ``quarantine.parquet``, ``quality.md``,
        ``quality.html``, and ``quality.png`` where a level of a price was found wrong.
    calendar : str, optional
        Exchange calendar of all symbols, or ``data``; each symbol's own if missing.
    overrides : sequence of str
        ``quality.key=value``.

    Returns
    -------
    dict
        The content of ``quality.json``.

    Raises
    ------
    DataError
        Nothing that can be read as bars, or no row is left.
    ConfigError
        An unknown threshold, or one out of its bounds.
    """
    from backtest.market.bars import prepare, read_bars
    from backtest.quality_page import QualityStory
    from pipeline.config import load_settings

    settings = load_settings(path=source, overrides=overrides)
    calendar = calendar or settings.data.calendar
    prepared = prepare(
        read_bars(Path(source), calendar=calendar),
        calendar=calendar,
        min_bars=settings.data.min_bars,
        quality=settings.quality,
    )
    story = QualityStory(
        title=Path(source).name,
        bars=prepared.bars,
        findings=prepared.findings,
        quarantined=prepared.quarantined,
        rows_in=prepared.rows_in,
        config=settings.quality,
        notes=prepared.notes,
    )
    folder = results_folder(out)
    write_parquet(folder / "findings.parquet", prepared.findings)
    write_parquet(folder / "quarantine.parquet", prepared.quarantined)
    return _write_page(story, folder)


def _write_page(story: "QualityStory", folder: Path) -> dict[str, Any]:
    """Write the page in its three forms; return what it says."""
    from backtest.pages import to_html, to_markdown
    from backtest.quality_page import PICTURE, quality_blocks, quality_pictures, quality_summary

    told, drawn = quality_summary(story), quality_pictures(story)
    blocks = quality_blocks(told, drawn)
    (folder / PICTURE).unlink(missing_ok=True)
    for one in drawn:
        write_bytes(folder / one.name, one.png)
    write_text(folder / "quality.md", to_markdown(blocks))
    write_text(folder / "quality.html", to_html(blocks, title=f"Data quality: {story.title}"))
    write_json(folder / "quality.json", told)
    return told


def quality_lines(told: dict[str, Any], out: Path) -> list[str]:
    """Say the same in a few lines of text."""
    lines = [
        f"{told['rows_in']:,} rows in = {told['rows_out']:,} bars + {told['quarantined']:,} "
        f"quarantined; {told['flags']:,} flags, {told['missing']:,} sessions without a bar"
    ]
    lines += [
        f"  {one['rule']:<24} {one['severity']:<10} {one['findings']:>8,} in {one['symbols']} "
        "symbols"
        for one in told["rules"]
    ]
    lines += [
        f"  {one['symbol']} {one['date']}: {one['rule']}, {one['detail']}"
        for one in told["worst_findings"][:6]
    ]
    return [*lines, f"page: {out / 'quality.html'}"]
