"""Tables of text."""

from __future__ import annotations

from worldsim.tables import markdown_table, text_row, text_table


def test_tables_are_aligned() -> None:
    rows = [["a", "1.25"], ["longer", "10"]]
    assert text_table(["name", "value"], rows) == "name    value\na        1.25\nlonger     10"
    assert text_table(["name", "value"], rows, left=(0, 1)) == "name    value\na       1.25\nlonger  10"
    assert text_row(["a", "b"], [3, 3]) == "a      b"
    assert text_table(["only", "titles"], []) == "only  titles"
    assert markdown_table(["a", "b|c"], [["1", "2"]]) == "| a | b\\|c |\n| --- | --- |\n| 1 | 2 |"
