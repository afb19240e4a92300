"""The report as people use it, in a real browser: Chromium without a window."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import HOSTILE, made_up_baseline, made_up_rows, made_up_run

from ragcli.evaluation.report import render

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the report is not opened")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROWS = 230
HEADS, OPEN = "#list .head", '#list [aria-expanded="true"]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: the report is not opened (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = made_up_rows(ROWS)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(made_up_run(rows), rows, made_up_baseline()), "utf-8")
    return path.as_uri()


class Watched:
    """A page, and what went wrong on it: messages of its console, errors, dialogs, and requests for other files."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": {"width": 1200, "height": 800}, **options})
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda asked: None if asked.url == address else self.wrong.append(asked.url))
        self.page.goto(address)

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def page(browser: Any, report: str) -> Iterator[Any]:
    watched = Watched(browser, report)
    yield watched.page
    watched.page.close()
    assert watched.wrong == []


def told(page: Any) -> str:
    return str(page.locator("#count").inner_text())


def focused(page: Any) -> str:
    """Return the question that has the focus."""
    return str(page.evaluate("document.activeElement.querySelector('.question')?.textContent ?? ''"))


def test_it_opens_with_the_first_hundred_questions(page: Any) -> None:
    assert told(page) == "230 questions" and page.locator(HEADS).count() == 100
    assert page.locator("#page").inner_text() == "Page 1 of 3"
    assert page.locator("svg.plot").count() == 4
    page.click("#next")
    page.click("#next")
    assert page.locator(HEADS).count() == 30 and page.locator("#next").is_disabled()


@pytest.mark.parametrize(
    ("field", "value", "count"),
    [
        *(("outcome", "incorrect", 57), ("stage", "flexible", 58), ("cause", "wrongly abstained", 57)),
        *(("cause", "", 116), ("lang", "zh", 46), ("family", "synthesis", 57), ("change", "now right", 2)),
    ],
)
def test_every_select_filters(page: Any, field: str, value: str, count: int) -> None:
    page.select_option(f"#{field}", "=" + value)
    assert told(page) == f"{count} of 230 questions"
    assert f"({count})" in page.locator(f"#{field} option:checked").inner_text()


def test_filters_work_together_and_are_cleared(page: Any) -> None:
    page.fill("#q", "PUMP 12")
    assert told(page) == "13 of 230 questions", "12, 112, 212, and 120 to 129"
    page.select_option("#lang", "=en")
    assert told(page) == "11 of 230 questions", "not 120 and 125, which are Chinese; their answers are English"
    page.fill("#q", "１２９")
    assert told(page) == "1 of 230 questions", "wide digits are digits"
    page.fill("#q", "no such thing")
    assert told(page) == "0 of 230 questions" and page.locator(HEADS).count() == 0
    page.click("#clear")
    page.wait_for_function("document.getElementById('count').textContent === '230 questions'")


def test_the_passages_are_searched_where_asked_for(page: Any) -> None:
    page.fill("#q", "blue")
    assert told(page) == "0 of 230 questions"
    page.check("#passages")
    assert told(page) == "230 questions"
    page.fill("#q", "blue litres 77")
    assert told(page) == "2 of 230 questions", "77 and 177"


def test_the_keyboard_is_enough(page: Any) -> None:
    press = page.keyboard.press
    press("j")
    assert focused(page) == "水泵 0 多快？"
    press("j")
    press("ArrowDown")
    press("k")
    assert focused(page) == "How fast is pump 1?"
    press("Enter")
    assert page.locator(OPEN).count() == 1
    body = page.locator("#list .body").inner_text()
    for words in ("Pump 1 runs at 1 litres. [1]", "Shared passage 3.", "weak", "manuals/pump-1.md", "now right"):
        assert words in body
    assert page.locator("#list .body mark").all_inner_texts() == ["Pump 1 runs at 1 litres."]
    press("Escape")
    assert page.locator(OPEN).count() == 0 and focused(page) == "How fast is pump 1?"
    press("ArrowUp")
    press("ArrowUp")
    assert focused(page) == "水泵 0 多快？", "there is none above the first"
    press("/")
    page.keyboard.type("jk/")
    assert page.input_value("#q") == "jk/" and told(page) == "0 of 230 questions"
    press("Escape")
    assert page.input_value("#q") == "" and told(page) == "230 questions"
    page.keyboard.type("pump 22")
    press("ArrowDown")
    assert focused(page) == "How fast is pump 22?"


def test_moving_past_the_last_question_of_a_page_turns_it(page: Any) -> None:
    page.locator(HEADS).nth(99).focus()
    page.keyboard.press("j")
    assert focused(page) == "水泵 100 多快？" and page.locator("#page").inner_text() == "Page 2 of 3"
    page.keyboard.press("k")
    assert focused(page) == "How fast is pump 99?" and page.locator("#page").inner_text() == "Page 1 of 3"


def test_a_link_leads_to_a_question_and_to_a_filter(page: Any, report: str) -> None:
    page.click("text=now wrong")
    assert told(page) == "1 of 230 questions"
    page.click('a.id:text-is("q5")')
    page.wait_for_selector(OPEN)  # the browser tells the page of its new address a little later
    assert page.locator(OPEN).count() == 1 and told(page) == "230 questions"
    assert "pump-5.md" in page.locator("#list .body").inner_text()
    page.goto(f"{report}#row=q229")
    page.reload()
    page.wait_for_selector(OPEN)
    assert focused(page) == "How fast is pump 229?" and page.locator(OPEN).count() == 1


def test_what_has_a_place_in_the_page_can_be_named(page: Any) -> None:
    unnamed = """() => [...document.querySelectorAll('input, select, button, a, [role=region], section, svg.plot')]
      .filter((e) => !(e.labels?.length || e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim()))
      .map((e) => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(identifiers) == len(set(identifiers))
    labels = "[...document.querySelectorAll('[aria-labelledby]')].map((e) => e.getAttribute('aria-labelledby'))"
    assert set(page.evaluate(labels)) <= set(identifiers)
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = getComputedStyle(document.documentElement);
  const paper = light(style.getPropertyValue('--paper'));
  return ['ink', 'muted', 'accent', 'good', 'bad', 'care'].map((name) => {
    const other = light(style.getPropertyValue('--' + name));
    return (Math.max(paper, other) + 0.05) / (Math.min(paper, other) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(browser: Any, report: str, scheme: str) -> None:
    page = Watched(browser, report, color_scheme=scheme).page
    assert min(page.evaluate(CONTRASTS)) > 4.5
    inks = page.evaluate("[...document.querySelectorAll('svg.plot text')].map((e) => getComputedStyle(e).fill)")
    body = page.evaluate("getComputedStyle(document.body).color")
    assert inks and body in inks and len(set(inks)) <= 2, "as the page's text, or muted"
    page.close()


def test_it_fits_a_narrow_window(browser: Any, report: str) -> None:
    page = Watched(browser, report, viewport={"width": 360, "height": 700}).page
    page.locator(HEADS).first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_hostile_text_is_shown_and_does_nothing(browser: Any, tmp_path: Path) -> None:
    (row,) = made_up_rows(1)
    links = [
        *("javascript:window.pwned=1", "https://example.org/?leak", "file://example.org/share", "file:////host/share"),
        *("data:text/html,<script>1</script>", "file:///%2Fhost/x", "file:///\t/host/x", "file:///docs/a.md"),
    ]
    row |= {name: row[name] + HOSTILE for name in ("id", "question", "answer", "cause", "lang", "family") if row[name]}
    row |= {"cause": HOSTILE, "metrics": {HOSTILE: 0.5}, "answers": [HOSTILE]}
    row["hits"] = [{key: HOSTILE if isinstance(value, str) else value for key, value in row["hits"][0].items()}]
    row["citations"] = [{"source": HOSTILE, "quote": HOSTILE, "status": HOSTILE, "link": link} for link in links]
    path = tmp_path / "report.html"
    path.write_text(render({"metrics": {HOSTILE: 0.5}, "fingerprints": {HOSTILE: HOSTILE}}, [row]), "utf-8")
    watched = Watched(browser, path.as_uri())
    page = watched.page
    page.locator(HEADS).first.click()
    assert page.evaluate("window.pwned") is None
    assert page.locator("script").count() == 2 and page.locator("img, iframe, [onload], [onerror]").count() == 0
    assert page.locator(HEADS).locator(".question").evaluate("(e) => e.textContent") == row["question"]
    assert page.locator(".body .data").first.evaluate("(e) => e.textContent") == row["answer"]
    assert page.locator("#list .body a").evaluate_all("(all) => all.map((a) => [a.href, a.rel])") == [
        ["file:///docs/a.md", "noopener noreferrer"]
    ]
    assert watched.wrong == []
    page.close()


def test_the_policy_holds_against_what_would_slip_through(browser: Any, report: str) -> None:
    watched = Watched(browser, report)
    held = watched.page.evaluate(
        """async () => {
          const held = [];
          try { document.body.innerHTML = '<b>x</b>'; } catch { held.push('markup'); }
          try { await fetch('https://example.invalid/'); } catch { held.push('network'); }
          const script = document.createElement('script');
          try { script.textContent = 'window.pwned = 1'; } catch { held.push('script'); }
          try { document.body.setAttribute('onclick', '0'); } catch { held.push('handler'); }
          return held;
        }"""
    )
    assert held == ["markup", "network", "script", "handler"]
    assert all("Content Security Policy" in message or "Trusted" in message for message in watched.wrong)
    watched.page.close()


def test_a_long_text_is_cut_until_it_is_asked_for(browser: Any, tmp_path: Path) -> None:
    (row,) = made_up_rows(1)
    row["answer"] = "水" + "\U0001f600" * 99_999 + "."
    path = tmp_path / "report.html"
    path.write_text(render({}, [row]), "utf-8")
    watched = Watched(browser, path.as_uri())
    page = watched.page
    page.locator(HEADS).first.click()
    answer = page.locator(".body .data").first
    cut = answer.evaluate("(e) => e.textContent")
    assert cut.startswith("水\U0001f600") and cut.endswith("\U0001f600…") and len(cut) < 1600
    page.click("text=Show all 200,000 characters")
    assert answer.evaluate("(e) => e.textContent.length") == 200_000
    assert page.locator(".body button").count() == 0 and watched.wrong == []
    page.close()


def test_two_thousand_rows_open_and_filter_within_two_seconds(browser: Any, tmp_path: Path) -> None:
    rows = made_up_rows(2_000)
    for row in rows:
        for hit in row["hits"]:
            hit["text"] += f" {row['id']}" + " and so on" * 80
    path = tmp_path / "report.html"
    path.write_text(render(made_up_run(rows), rows), "utf-8")
    start = time.perf_counter()
    watched = Watched(browser, path.as_uri())
    watched.page.locator(HEADS).first.wait_for()
    opened = time.perf_counter()
    watched.page.check("#passages")
    watched.page.fill("#q", "q1777 litres")
    assert told(watched.page) == "1 of 2,000 questions"
    filtered = time.perf_counter()
    assert opened - start < 2 and filtered - opened < 2
    watched.page.close()
