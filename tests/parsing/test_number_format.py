"""Numbers as a spreadsheet shows them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.parsing.office.number_format import BUILT_IN, show_number


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (1234.5, "", "1234.5"),
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "1e+20"),
        (12345678901.25, "@", "12345678901"),
        (1234.5, "0", "1235"),
        (2.5, "0", "3"),
        (1.005, "0.00", "1.01"),
        (-1234.5, "#,##0.00", "-1,234.50"),
        (-0.001, "0.0", "0.0"),
        (0.075, "0.0%", "7.5%"),
        (0.5, "0%", "50%"),
        (1.5, "0.###", "1.5"),
        (3.0, "0.###", "3"),
        (7, "00000", "00007"),
        (1234567, "#,##0,", "1,235"),
        (2500000, '0.0,,"M"', "2.5M"),
        (5, "[$€-407] #,##0.00", "€ 5.00"),
        (5.5, '#,##0.00\\ "€"', "5.50 €"),
        (12.5, '0.0" kg"', "12.5 kg"),
        (-1234, '_(* #,##0_);_(* \\(#,##0\\);_(* "-"??_);_(@_)', "(1,234)"),
        (1234, '_(* #,##0_);_(* \\(#,##0\\);_(* "-"??_);_(@_)', "1,234"),
        (0, '_(* #,##0_);_(* \\(#,##0\\);_(* "-"??_);_(@_)', "-"),
        (-3, "0;[Red]0", "3"),
        (-3, '"up";"down";"same"', "down"),
        (12345, "0.00E+00", "1.23E+4"),
        (0.5, "# ?/?", "0.5"),
        (5, "[<10]0.0;0", "5"),
        (5, ";;;", "5"),
        (45658, "yyyy-mm-dd", "2025-01-01"),
        (45658, "d/m/yy", "2025-01-01"),
        (45658.5625, "yyyy-mm-dd hh:mm", "2025-01-01 13:30"),
        (45658.5625, 'yyyy"年"m"月"d"日"', "2025-01-01"),
        (45658, "mmm yyyy", "2025-01"),
        (45658, "yyyy", "2025"),
        (45658, "d. mmm", "2025-01-01"),
        (45658, "[$-804]aaaa;@", "2025-01-01"),
        (45658, "[$-409]mmmm d, yyyy;@", "2025-01-01"),
        (0.5625, "h:mm AM/PM", "13:30"),
        (0.5625115740740741, "h:mm:ss", "13:30:01"),
        (1.125, "[h]:mm", "27:00"),
        (59, "yyyy-mm-dd", "1900-02-28"),
        (61, "yyyy-mm-dd", "1900-03-01"),
        (-1, "yyyy-mm-dd", "-1"),
        (3e6, "yyyy-mm-dd", "3000000"),
        (math.inf, "0.0", "inf"),
    ],
)
def test_shown_as_its_format_says(value: float, code: str, shown: str) -> None:
    assert show_number(float(value), code) == shown


def test_dates_may_count_from_1904() -> None:
    assert show_number(44196, "yyyy-mm-dd", since_1904=True) == "2025-01-01"
    assert show_number(0, "yyyy-mm-dd", since_1904=True) == "1904-01-01"


def test_built_in_dates_are_dates() -> None:
    for number in (14, 15, 16, 22, 31, 57, 58):  # 31, 57 and 58: Chinese and Japanese programs
        assert show_number(45658, BUILT_IN[number]).startswith("2025-01-01"), number


@given(
    value=st.floats(),
    code=st.one_of(
        st.text(), st.lists(st.sampled_from([*'0#?.,%;"\\_*E+-/@ymdhs[]$<', "[h]", "General"])).map("".join)
    ),
)
def test_no_format_is_too_strange(value: float, code: str) -> None:
    assert show_number(value, code)
