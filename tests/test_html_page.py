"""Pages: what is shown is what was given, whatever signs it has."""

from __future__ import annotations

from storm_edge.html_page import page, table


def test_signs_of_html_are_shown_not_obeyed() -> None:
    text = page("a <b> & c", [table(("x<y",), [("<script>",), (1.5,)])])
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in text
    assert "<th>x&lt;y</th>" in text
    assert "<td>&lt;script&gt;</td>" in text
    assert "<td>1.5</td>" in text
    assert "<script>" not in text


def test_a_row_that_failed_is_marked() -> None:
    text = table(("what", "passed"), [("a", True), ("b", False)])
    assert text.count("class=bad") == 1
    assert "<td>yes</td>" in text
    assert "<td>NO</td>" in text
