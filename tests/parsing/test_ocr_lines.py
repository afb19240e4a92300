"""Pieces of text with their places -> the text of a page in reading order."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from ragcli.parsing.ocr.lines import Piece, page_text, plain_line


def piece(text: str, left: float, top: float, width: float | None = None) -> Piece:
    """Return a piece in letters 10 wide and 20 high."""
    return Piece(text, left, top, left + (len(text) * 10 if width is None else width), top + 20)


def column(name: str, left: float, top: float = 0.0) -> list[Piece]:
    return [piece(f"{name}{number} a line that fills it", left, top + 30 * number) for number in range(5)]


def test_lines_are_read_from_the_top_and_words_from_the_left() -> None:
    pieces = [piece("below", 0, 30), piece("right", 70, 3), piece("left", 0, 0)]
    assert page_text(pieces) == "left   right\nbelow"


def test_pieces_that_touch_are_words_and_chinese_needs_no_space() -> None:
    assert page_text([piece("one", 0, 0), piece("two", 35, 1)]) == "one two"
    assert page_text([piece("阀门", 0, 0, 40), piece("手册", 45, 1, 40)]) == "阀门手册"
    assert page_text([piece("阀门", 0, 0, 40), piece("VC", 45, 1)]) == "阀门 VC"


def test_a_wide_space_parts_paragraphs() -> None:
    pieces = [piece("a line", 0, top) for top in (0, 30, 60, 130, 160)]
    assert page_text(pieces) == "a line\na line\na line\n\na line\na line"


def test_two_columns_are_read_one_after_the_other() -> None:
    pieces = [*column("left", 0), *column("right", 350)]
    assert [line.split()[0] for line in page_text(pieces).split("\n")] == [
        *(f"left{number}" for number in range(5)),
        *(f"right{number}" for number in range(5)),
    ]


def test_a_title_above_columns_and_a_note_below_stay_there() -> None:
    wide = "A title that runs over both of the columns of this page"
    pieces = [*column("left", 0, 40), *column("right", 350, 40), piece(wide, 0, 0), piece(wide.upper(), 0, 220)]
    lines = [line for line in page_text(pieces).split("\n") if line]
    assert lines[0] == wide and lines[-1] == wide.upper()
    assert [line.split()[0] for line in lines[1:-1]] == [
        *(f"left{number}" for number in range(5)),
        *(f"right{number}" for number in range(5)),
    ]


def test_three_columns_too() -> None:
    pieces = [*column("c", 700), *column("a", 0), *column("b", 350)]
    assert [line[0] for line in page_text(pieces).split("\n")] == [*"aaaaabbbbbccccc"]


def test_a_table_is_read_row_by_row() -> None:
    rows = [("Sales", "1,200", "1,100"), ("Costs", "900", "850"), ("Rent", "40", "41"), ("Tax", "60", "55")] * 2
    pieces = [
        piece(cell, left, 30 * number)
        for number, row in enumerate(rows)
        for cell, left in zip(row, (0, 400, 600), strict=True)
    ]
    assert page_text(pieces).split("\n") == ["   ".join(row) for row in rows]


WIDE = "A line of full width that runs over all of the page, as they do"


def wide(top: float) -> list[Piece]:
    return [piece(f"{WIDE} {number}", 0, top + 30 * number) for number in range(8)]


def long_column(name: str, left: float, top: float, lines: int = 8) -> list[Piece]:
    return [piece(f"{name}{number} a line that fills it", left, top + 30 * number) for number in range(lines)]


def first_words(pieces: list[Piece]) -> list[str]:
    return [line.split()[0] for line in page_text(pieces).split("\n") if line]


def test_columns_between_lines_of_full_width_are_read_one_after_the_other() -> None:
    pieces = [*wide(0), *long_column("left", 0, 270), *long_column("right", 350, 270), *wide(540)]
    columns = [f"{side}{number}" for side in ("left", "right") for number in range(8)]
    assert first_words(pieces) == [*"A" * 8, *columns, *"A" * 8]


def test_a_heading_that_stands_apart_below_columns_comes_after_them() -> None:
    heading = piece("Heading", 0, 540)
    pieces = [*wide(0), *long_column("left", 0, 270), *long_column("right", 350, 270), heading, *wide(570)]
    assert first_words(pieces)[-9:] == ["Heading", *"A" * 8]
    assert first_words(pieces)[-10] == "right7"
    longer = [*wide(0), *long_column("left", 0, 270, 9), *long_column("right", 350, 270), *wide(570)]
    assert first_words(longer)[-17:-8] == ["left8", *(f"right{number}" for number in range(8))]


def test_the_labels_of_a_figure_do_not_hide_that_it_stands_in_a_column() -> None:
    figure = [piece("CO", 350 + 60 * at, 40 * row) for row in range(8) for at in range(4)]
    pieces = [*long_column("left", 0, 0, 18), *figure, *long_column("right", 350, 330)]
    assert first_words(pieces) == [
        *(f"left{number}" for number in range(18)),
        *["CO"] * 8,
        *(f"right{number}" for number in range(8)),
    ]


def test_a_table_between_lines_of_full_width_is_read_row_by_row() -> None:
    cells = [
        piece(f"{text} {number}", left, 270 + 30 * number)
        for number in range(8)
        for text, left in (("Net sales", 0), ("1,204", 400), ("1,187", 520))
    ]
    rows = [f"Net sales {number}   1,204 {number}   1,187 {number}" for number in range(8)]
    assert [line for line in page_text([*wide(0), *cells, *wide(540)]).split("\n") if line][8:16] == rows


def test_a_table_above_columns_is_read_row_by_row() -> None:
    places = (("State", 0), ("Date", 150), ("Halts", 400), ("Days", 550))
    cells = [piece(f"{text}{number}", left, 30 * number) for number in range(4) for text, left in places]
    pieces = [*cells, piece("note", 0, 105, 40), *long_column("left", 0, 180), *long_column("right", 350, 180)]
    columns = [f"{side}{number}" for side in ("left", "right") for number in range(8)]
    assert first_words(pieces) == ["State0", "State1", "State2", "State3", "note", *columns]
    assert page_text(pieces).startswith("State0   Date0   Halts0   Days0\n")


def test_a_thousand_pieces_take_no_time() -> None:
    pieces = [piece("word", 37.3 * (at % 31) + at / 50, 11 * (at // 31)) for at in range(1000)]
    start = time.perf_counter()
    assert page_text(pieces).split().count("word") == 1000
    assert time.perf_counter() - start < 5


def test_full_width_letters_are_plain_in_a_line_without_chinese() -> None:
    assert plain_line(" MＥSSＡGE  （１） ") == "MESSAGE (1)"
    assert plain_line("保修期：１８个月") == "保修期：１８个月"


def test_nothing_gives_nothing() -> None:
    assert page_text([]) == ""


SIZES = st.floats(-1e4, 1e4, allow_nan=False)
PIECES = st.builds(
    lambda text, left, top, width, height: Piece(text, left, top, left + width, top + height),
    st.text("ab 中", min_size=1, max_size=9).filter(str.strip),
    SIZES,
    SIZES,
    st.floats(0, 3000),
    st.floats(0, 300),
)


@given(st.lists(PIECES, max_size=40))
def test_no_letter_is_lost_or_made_up(pieces: list[Piece]) -> None:
    assert sorted("".join(page_text(pieces).split())) == sorted("".join(one.text for one in pieces).replace(" ", ""))
