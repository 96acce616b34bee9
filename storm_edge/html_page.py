"""Pages for people: one HTML file without anything beside it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}"
    "td.n{text-align:right}.bad{background:#fdd}.good{background:#efe}img{max-width:100%}"
)


def page(title: str, parts: Iterable[str]) -> str:
    """A page with a heading.

    Args:
        title: Plain text.
        parts: HTML, in order.
    """
    shown = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{shown}</title><style>{_STYLE}</style><h1>{shown}</h1>"
    return "\n".join([head, *parts]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain text; a row that ends with False is marked, and booleans are yes and NO.

    Args:
        header: Names of the columns.
        rows: One value per column.
    """
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in header) + "</tr>"]
    for row in rows:
        mark = " class=bad" if row and row[-1] is False else ""
        shown = ["yes" if x is True else "NO" if x is False else str(x) for x in row]
        lines.append(f"<tr{mark}>" + "".join(f"<td>{html.escape(x)}</td>" for x in shown) + "</tr>")
    return "\n".join(lines) + "</table>"
