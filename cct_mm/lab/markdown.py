"""The one way to write a Markdown table."""

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is aligned left, and all others right.

    Args:
        header: Titles of the columns.
        rows: Cells of each row; a ``|`` in them is escaped.

    Example:
        >>> print(markdown_table(['method', 'mIoU'], [['CCT', '40.1']]))
        | method | mIoU |
        | --- | ---: |
        | CCT | 40.1 |
    """
    rule = ['---'] + ['---:'] * (len(header) - 1)
    cells = [[cell.replace('|', '\\|') for cell in line] for line in (header, rule, *rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in cells)
