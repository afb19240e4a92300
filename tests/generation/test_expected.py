"""Kinds of answers, by examples in both languages."""

from __future__ import annotations

import pytest

from ragcli.generation.expected import expected, holds, identifiers


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much does the bracket cost?", "money"),
        ("这款多少钱", "money"),
        ("How heavy is the gateway?", "weight"),
        ("网关有多重", "weight"),
        ("how far from the fence must it stand", "length"),
        ("屏幕是几英寸的", "length"),
        ("At what temperature does it switch off?", "temperature"),
        ("How long is the warranty?", "duration"),
        ("保修期是多久", "duration"),
        ("When was the firmware released?", "time"),
        ("哪天发布的", "time"),
        ("Which version is needed?", "version"),
        ("How many stations are there?", "number"),
        ("最多能接多少路", "number"),
        ("Why does the lamp blink?", ""),
        ("谁负责", ""),
    ],
)
def test_what_a_question_expects(question: str, kind: str) -> None:
    assert expected(question) == kind


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("money", "The bracket costs £12.50."),
        ("money", "每台 120 元"),
        ("money", "part,price_gbp\nA1,12.50"),
        ("money", "Returns are free of charge."),
        ("weight", "480 g"),
        ("weight", "净重 1.2 公斤"),
        ("length", "at least 3 m away"),
        ("temperature", "-20 to 60 °C"),
        ("duration", "within 14 working days"),
        ("duration", "十八个月"),
        ("time", "released on 26 June 2025"),
        ("time", "2025 年 7 月"),
        ("number", "it has eight stations"),
        ("", "anything"),
    ],
)
def test_texts_that_hold_an_answer(kind: str, text: str) -> None:
    assert holds(kind, text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("money", "The bracket is made of steel."),
        ("weight", "It has a 4G modem."),
        ("weight", "The gateway weighs little."),
        ("length", "version 3 manual"),
        ("duration", "The battery is sealed."),
        ("number", "It has several stations."),
    ],
)
def test_texts_that_hold_none(kind: str, text: str) -> None:
    assert not holds(kind, text)


def test_identifiers_are_one_whatever_their_spelling() -> None:
    assert identifiers("VC-8S and vc8s, FP-60的电池, E05; not 2025, A or mp3s.x") >= {"vc8s", "fp60", "e05"}
    assert identifiers("since 1998, in 24 hours") == set()
