"""Answers without a model: what is quoted, and when the documents do not answer."""

from __future__ import annotations

from dataclasses import replace

from ragcli.embedding.onnx import OnnxEmbedder
from ragcli.generation.extractive import Unit, choose, compose, evidence, score, units_of
from ragcli.parsing.markdown import parse_markdown
from ragcli.records import Document, Hit

MANUAL = """# Pump P-20

## Care

Rinse the filter every week. Never run the pump dry!

- Store it above 5 °C.
- Change the oil
  after 500 hours.

## Prices

| Part | Price |
|---|---|
| Filter | £12.50 |
| Seal | £3.00 |

```
limit = 40
mode = eco
```

Cause: a worn seal
Remedy: replace it
"""


def hit_of(document: Document, first: str, last: str, score: float = 0.5) -> Hit:
    start, end = document.text.index(first), document.text.index(last) + len(last)
    text = document.text[start:end]
    return Hit(1, score, "c", "manual.md", "main", None, ("Pump P-20", "Care"), start, end, 1, text)


def test_units_follow_the_structure() -> None:
    document = parse_markdown(MANUAL)
    units = list(units_of(0, hit_of(document, "## Care", "Remedy: replace it"), document))
    assert [unit.text for unit in units] == [
        "Rinse the filter every week.",
        "Never run the pump dry!",
        "- Store it above 5 °C.",
        "- Change the oil\n  after 500 hours.",
        "| Filter | £12.50 |",
        "| Seal | £3.00 |",
        "```\nlimit = 40\nmode = eco\n```",
        "Cause: a worn seal",
        "Remedy: replace it",
    ]
    assert units[4].header == units[5].header == "| Part | Price |"
    assert units[0].heading == ("Pump P-20", "Care")


def test_units_end_where_the_hit_does() -> None:
    document = parse_markdown(MANUAL)
    units = list(units_of(2, hit_of(document, "Never run", "5 °C."), document))
    assert [(unit.hit, unit.text) for unit in units] == [(2, "Never run the pump dry!"), (2, "- Store it above 5 °C.")]


def test_the_sentence_that_answers_scores_best(embedder: OnnxEmbedder) -> None:
    document = parse_markdown(MANUAL)
    hits = [hit_of(document, "## Care", "Remedy: replace it")]
    units = list(units_of(0, hits[0], document))
    for question, best in (
        ("How often should the filter be cleaned?", "Rinse the filter every week."),
        ("What does the seal cost?", "| Seal | £3.00 |"),
        ("at what temperature is it stored", "- Store it above 5 °C."),
    ):
        rarity = dict.fromkeys(("filter", "seal", "cost", "temperatur", "store", "clean", "often"), 1.0)
        scored = score(question, hits, units, embedder, rarity)
        assert max(scored, key=lambda unit: unit.score).text == best


def unit(hit: int, text: str, score: float, **more: object) -> Unit:
    return replace(Unit(hit, text), score=score, **more)  # type: ignore[arg-type]


def test_the_best_are_chosen_with_what_follows_them() -> None:
    units = [unit(0, "a", 1.0), unit(0, "b", 0.1), unit(0, "c", 0.2), unit(1, "d", 0.9), unit(1, "e", 0.1)]
    assert [u.text for u in choose(units)] == ["a", "b", "d", "e"]


def test_hits_come_in_the_order_of_their_best_unit_and_units_in_that_of_the_text() -> None:
    units = [unit(0, "a", 0.8), unit(1, "b", 0.78), unit(1, "c", 1.0)]
    assert [u.text for u in choose(units)] == ["b", "c", "a"]


def test_an_answer_is_no_longer_than_a_paragraph_but_never_empty() -> None:
    assert [u.text for u in choose([unit(0, "x" * 900, 1.0), unit(0, "y", 0.9)])] == ["x" * 900]
    assert choose([]) == []


def test_a_header_and_a_heading_stand_once() -> None:
    rows = [unit(0, f"row {n}", 1.0, header="head", heading=("Top", "Prices")) for n in (1, 2)]
    assert compose([*rows, unit(1, "text", 0.9, heading=("Care",))]) == (
        "Prices\nhead\nrow 1 [1]\nrow 2 [1]\nCare\ntext [2]"
    )


QUESTION = "How often is the filter rinsed?"
RARITY = {"often": 2.0, "filter": 2.0, "rins": 3.0}


def plain_hit(text: str, score: float) -> Hit:
    return Hit(1, score, "c", "manual.md", "main", None, (), 0, len(text), 1, text)


def test_evidence_is_the_lead_of_the_best_passage() -> None:
    chosen = [unit(0, "Rinse the filter every week.", 1.0, fits=True)]
    ahead = [plain_hit("Rinse the filter every week.", 0.5), plain_hit("Oil the pump.", 0.2)]
    level = [plain_hit("The filter is blue.", 0.3), plain_hit("The filter holder is red.", 0.29)]
    assert evidence(QUESTION, ahead, chosen, RARITY, 1.0) > 0.5
    assert evidence(QUESTION, level, chosen, RARITY, 1.0) < 0.25
    assert evidence(QUESTION, ahead, chosen, RARITY, 0.0) == evidence(QUESTION, ahead, chosen, RARITY, 1.0) / 2


def test_a_passage_that_holds_the_whole_question_needs_no_lead() -> None:
    chosen = [unit(0, "Rinse the filter as often as you can.", 1.0, fits=True)]
    twice = [plain_hit("Rinse the filter as often as you can.", 0.5), plain_hit("How often the filter is rinsed.", 0.5)]
    assert evidence(QUESTION, twice, chosen, RARITY, 1.0) == evidence(QUESTION, twice, chosen, RARITY, 0.0) == 1.0


def test_a_second_version_of_the_same_passage_is_no_rival() -> None:
    chosen = [unit(0, "Rinse the filter every week.", 1.0, fits=True)]
    twice = [
        plain_hit("Rinse the filter every week.", 0.5),
        plain_hit("Rinse the filter every week, please.", 0.49),
        plain_hit("Oil the pump.", 0.2),
    ]
    assert evidence(QUESTION, twice, chosen, RARITY, 1.0) == evidence(QUESTION, twice[::2], chosen, RARITY, 1.0)


def test_no_evidence_without_the_kind_of_answer_or_the_model_that_is_asked_for() -> None:
    hits = [plain_hit("The P-20 pumps water.", 0.6), plain_hit("Oil the pump.", 0.2)]
    rarity = {"heavi": 3.0, "p20": 1.0, "p": 1.0, "20": 1.0, "p99": 3.0, "99": 3.0, "pump": 1.0, "water": 1.0}
    pumps = [unit(0, "The P-20 pumps water.", 1.0)]
    assert evidence("How heavy is the P-20?", hits, pumps, rarity, 1.0) == 0.0
    weighs = [unit(0, "The P-20 weighs 3 kg.", 1.0, fits=True)]
    assert evidence("How heavy is the P-20?", hits, weighs, rarity, 1.0) > 0.0
    assert evidence("What does the P-99 pump?", hits, pumps, rarity, 1.0) == 0.0
    assert evidence("What does the P-20 pump?", hits, pumps, rarity, 1.0) > 0.0


def test_no_hits_no_evidence() -> None:
    assert evidence(QUESTION, [], [], RARITY, 1.0) == 0.0
    assert evidence(QUESTION, [plain_hit("Rinse", 0.01)], [unit(0, "Rinse", 1.0)], RARITY, 1.0) == 0.0
