"""Tables of text, for the screen and for Markdown."""

from __future__ import annotations

from collections.abc import Container, Sequence


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
    """Aligned lines, the first with the titles.

    Args:
        titles: of the columns.
        rows: of cells.
        left: columns that are aligned to the left; the others are to the right.
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return "\n".join(text_row(row, widths, left) for row in (titles, *rows))


def text_row(cells: Sequence[str], widths: Sequence[int], left: Container[int] = (0,)) -> str:
    """One line of a table with columns of given widths, for tables that are printed while they grow."""
    aligned = [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(aligned).rstrip()


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)
