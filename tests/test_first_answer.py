"""The thinnest whole way: a folder of documents to a cited answer, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Callable

from shared import ROOT, Done

Ragcli = Callable[..., Done]


def test_folder_to_cited_answer(ragcli: Ragcli) -> None:
    done = ragcli("ingest", ROOT / "sample_docs", "--json")
    assert done.code == 0, done.err
    assert done.json["added"] == done.json["documents"] > 25

    english = ragcli("ask", "Which fuse does the VC-8 controller need?", "--json")
    assert english.code == 0, english.err
    assert {citation["status"] for citation in english.json["citations"]} == {"supported"}
    assert "T1.25 A" in english.json["answer"]

    chinese = ragcli("ask", "FP-60 探头的保修期是多久？", "--json")
    assert chinese.code == 0, chinese.err
    assert "18 个月" in chinese.json["answer"]
    assert any("售后服务政策" in citation["source"] for citation in chinese.json["citations"])


def test_a_question_that_the_documents_do_not_answer(ragcli: Ragcli) -> None:
    ragcli("ingest", ROOT / "sample_docs" / "policies")
    done = ragcli("ask", "How do I feed a sourdough starter?", "--json")
    assert done.code == 3
    assert done.json["abstained"] and done.json["citations"] == []
    assert done.json["hits"]
