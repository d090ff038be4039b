from __future__ import annotations

from worldsim.errors import shown


def test_what_was_given_is_shown_escaped_and_cut() -> None:
    assert shown("doom/take-cover") == "'doom/take-cover'"
    assert shown("\x1b[2J\n\u202e") == "'\\x1b[2J\\n\\u202e'"
    assert shown("Größe") == "'Größe'"
    assert len(shown("x" * 100_000)) == 80 and shown("x" * 100_000).endswith("...")
    assert shown(3) == "3" and shown(None) == "None"
