"""Follow-ups, and what a model is told of what was said."""

from __future__ import annotations

import pytest

from ragcli.answering import Answer, Draft
from ragcli.conversation import MOST_TURNS, Conversation, is_short, leans
from ragcli.retrieval import Explanation, Result


def answered(question: str, text: str = "24 months [1].") -> Answer:
    result = Result(question, (), {}, Explanation((), (), 0.5, 0, 0))
    return Answer(question, Draft(text, False, ()), False, text, 1.0, (), result, {})


@pytest.mark.parametrize(
    "question",
    [
        "and for the larger model?",
        "What about seals?",
        "How long does it last?",
        "Is that one waterproof?",
        "Why?",
        "Does the other probe need the same fuse?",
        "它的保修期呢？",
        "那 FP-60 呢？",
        "这个多少钱？",
        "为什么？",
        "还有别的吗？",
    ],
)
def test_what_leans(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        "Which fuse does the VC-8 controller need?",
        "How long does the battery of the WS-10 last?",
        "FP-60 探头的保修期是多久？",
        "中国其中一个办事处的地址是什么？",
        "Itemize the items in the kit.",
    ],
)
def test_what_does_not_lean(question: str) -> None:
    assert not leans(question)


def test_what_is_short() -> None:
    assert is_short("How long does the battery last?") and is_short("电池能用多久？")
    assert not is_short("Which fuse does the VC-8 controller need?")
    assert not is_short("差旅费报销需要哪些材料？")


def test_without_a_model_the_question_before_is_put_beside() -> None:
    conversation = Conversation()
    assert conversation.standalone("And seals?", None) == "And seals?"  # nothing was said yet
    conversation.add(answered("How long is the warranty?"))
    assert conversation.standalone("And seals?", None) == "And seals? (How long is the warranty?)"
    assert conversation.standalone("What does the VC-8 weigh?", None) == "What does the VC-8 weigh?"
    conversation.add(answered("And seals? (How long is the warranty?)"))
    assert conversation.standalone("And fuses?", None) == "And fuses? (How long is the warranty?)"


def test_the_history_has_no_markers() -> None:
    """They would number passages that the model does not see any more."""
    conversation = Conversation([answered("One?", "24 months [1]. Six for seals [2][3]."), answered("Two?", "[1]")])
    assert conversation.history == (("One?", "24 months. Six for seals."), ("Two?", "[1]"))


def test_the_history_has_an_end() -> None:
    conversation = Conversation([answered(f"{n}?") for n in range(100)])
    assert len(conversation.history) == MOST_TURNS
    assert conversation.history[-1][0] == "99?"
