"use strict";
// The list of questions. Whatever the data holds is text: it enters the page by textContent and nowhere else.
(() => {
  const { rows, passages } = JSON.parse(document.getElementById("data").textContent);
  const PER_PAGE = 100;
  const CUT = 1500; // characters of a text that are shown before "Show all"
  const FIELDS = ["outcome", "stage", "cause", "lang", "family", "change"];
  const at = (id) => document.getElementById(id);
  const list = at("list"), search = at("q"), inPassages = at("passages"), form = at("filters");
  let found = rows.map((_, index) => index);
  let page = 0;
  let current = -1; // place on the page of the question that has, or last had, the focus

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children.filter((child) => child !== null && child !== ""));
    return made;
  };
  const shown = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(+value.toPrecision(4)));
  const fold = (text) => text.normalize("NFKC").toLowerCase();

  // Filters

  const folded = new Map(); // row -> what the text filter looks into, made when it is first needed
  const foldedPassages = [];
  const haystack = (row) => {
    if (!folded.has(row)) {
      const sources = new Set(row.hits.map((hit) => hit.source));
      folded.set(row, fold([row.id, row.question, row.answer, ...row.answers, ...sources].join("\n")));
    }
    return folded.get(row);
  };
  const holding = (word) => {
    const places = new Set();
    passages.forEach((text, place) => {
      if ((foldedPassages[place] ??= fold(text)).includes(word)) places.add(place);
    });
    return places;
  };

  const filter = () => {
    const words = fold(search.value).split(/\s+/).filter(Boolean);
    const places = words.map((word) => (inPassages.checked ? holding(word) : new Set()));
    const wanted = FIELDS.map((name) => [name, at(name).value]).filter(([, value]) => value !== "");
    found = [];
    rows.forEach((row, index) => {
      if (!wanted.every(([name, value]) => row[name] === value.slice(1))) return;
      const text = words.length ? haystack(row) : "";
      const holds = (word, nth) => text.includes(word) || row.hits.some((hit) => places[nth].has(hit.text));
      if (words.every(holds)) found.push(index);
    });
    page = 0;
    draw();
  };

  const fillSelects = () => {
    for (const name of FIELDS) {
      const counts = new Map();
      for (const row of rows) counts.set(row[name], (counts.get(row[name]) ?? 0) + 1);
      const select = at(name);
      select.replaceChildren(new Option("all", ""));
      // A value is marked with "=", so that a row without one ("=") is told from no choice ("").
      for (const value of [...counts.keys()].sort()) {
        const label = value === "" ? "none" : value.length > 60 ? value.slice(0, 60) + "…" : value;
        select.append(new Option(`${label} (${counts.get(value)})`, "=" + value));
      }
      at("label-" + name).hidden = counts.size < 2;
    }
  };

  // The list

  const draw = () => {
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    const first = page * PER_PAGE;
    const part = found.slice(first, first + PER_PAGE);
    current = -1;
    list.replaceChildren(...part.map((index, place) => item(rows[index], index, first + place)));
    const of = found.length === rows.length ? "" : ` of ${shown(rows.length)}`;
    at("count").textContent = `${shown(found.length)}${of} questions`;
    at("page").textContent = `Page ${page + 1} of ${pages}`;
    at("pages").hidden = pages === 1;
    at("previous").disabled = page === 0;
    at("next").disabled = page === pages - 1;
  };

  const item = (row, index, position) => {
    const about = [row.stage, row.cause, row.family, row.lang, row.id].filter(Boolean).join(" · ");
    const question = element("span", "question", row.question.slice(0, 600) || "(no question)");
    question.dir = "auto";
    const aside = element("span", "about", about.slice(0, 200));
    aside.title = about.slice(0, 400);
    const head = element("button", "head", chip(row.outcome), question, aside);
    head.type = "button";
    head.setAttribute("aria-expanded", "false");
    head.addEventListener("click", () => toggle(head, row, index));
    head.addEventListener("focus", () => { current = heads().indexOf(head); });
    const made = element("li", "", element("h3", "", head));
    made.setAttribute("aria-posinset", String(position + 1));
    made.setAttribute("aria-setsize", String(found.length));
    return made;
  };

  const chip = (value) => {
    const known = ["correct", "incorrect", "refusal", "supported", "weak", "unsupported"].includes(value);
    return element("span", known ? `chip ${value}` : "chip", value || "–");
  };

  const toggle = (head, row, index) => {
    const open = head.getAttribute("aria-expanded") === "true";
    head.setAttribute("aria-expanded", String(!open));
    if (open) {
      head.closest("li").querySelector(".body").remove();
      head.removeAttribute("aria-controls");
    } else {
      const body = details(row);
      body.id = `row-${index}`;
      head.setAttribute("aria-controls", body.id);
      head.closest("li").append(body);
      const { top, bottom } = head.closest("li").getBoundingClientRect();
      window.scrollBy({ top: Math.max(0, Math.min(bottom - innerHeight + 8, top - 8)), behavior: "instant" });
    }
  };

  // One question, opened

  const details = (row) => {
    const body = element("div", "body");
    const add = (title, ...content) => body.append(element("h4", "", title), ...content);
    if (row.question.length > 200) add("Question", text(row.question));
    if (row.outcome || row.answer) add("Answer", text(row.answer || "(empty)"));
    if (!row.answerable) add("Expected", element("p", "", "no answer: the documents do not hold one"));
    else if (row.answers.length) add("Expected", ...row.answers.slice(0, 10).map((answer) => text(answer)));
    add("Verdict", values([
      ["outcome", row.outcome], ["stage", row.stage], ["cause", row.cause], ["against the baseline", row.change],
      ["time", row.ms === null ? "" : `${shown(Math.round(row.ms))} ms`], ["id", row.id],
    ]));
    if (row.command) body.append(element("code", "command", row.command));
    const metrics = Object.entries(row.metrics).filter(([, value]) => value !== null);
    if (metrics.length) add("Metrics", values(metrics.map(([name, value]) => [name, shown(value)])));
    if (row.citations.length) add("Citations", element("ol", "", ...row.citations.map(citation)));
    if (row.hits.length) add("Passages", element("ol", "", ...row.hits.map((hit) => passage(hit, row.citations))));
    return body;
  };

  const values = (pairs) => element("dl", "values", ...pairs.filter(([, value]) => value !== "").map(([name, value]) => {
    const said = element("dd", "", String(value).slice(0, 300));
    said.dir = "auto";
    return element("div", "", element("dt", "", name), said);
  }));

  // A text, cut where it is long; `quotes` are marked in it.
  const text = (whole, quotes = []) => {
    const made = element("div", "data");
    made.dir = "auto";
    if (whole.length <= CUT * 1.2) {
      made.append(...marked(whole, quotes));
      return made;
    }
    const end = /[\ud800-\udbff]/.test(whole[CUT - 1]) ? CUT - 1 : CUT;
    made.append(...marked(whole.slice(0, end), quotes), "…");
    const more = element("button", "more", `Show all ${shown(whole.length)} characters`);
    more.type = "button";
    more.addEventListener("click", () => {
      made.tabIndex = -1;
      made.replaceChildren(...marked(whole, quotes));
      made.focus({ preventScroll: true });
      more.remove();
    });
    return element("div", "", made, more);
  };

  const marked = (whole, quotes) => {
    const spans = quotes.filter(Boolean).map((quote) => [whole.indexOf(quote), quote.length]).filter(([start]) => start >= 0);
    spans.sort((one, other) => one[0] - other[0]);
    const parts = [];
    let done = 0;
    for (const [start, length] of spans) {
      if (start < done) continue;
      parts.push(whole.slice(done, start), element("mark", "", whole.slice(start, start + length)));
      done = start + length;
    }
    return [...parts, whole.slice(done)];
  };

  const origin = (...parts) => {
    const made = element("div", "origin", ...parts.filter(Boolean).map((part) => (typeof part === "string" ? element("span", "", part) : part)));
    made.dir = "auto";
    return made;
  };

  const citation = (one) => {
    const known = ["supported", "weak", "unsupported"].includes(one.status) ? one.status : "";
    const page = one.page === null ? "" : `page ${one.page}`;
    const marker = one.marker === null ? "" : `[${one.marker}]`;
    return element("li", known,
      origin(marker, chip(one.status), linked(one.source, one.link), page, one.reasons.join("; ")), text(one.quote));
  };

  // A link to a file of this machine is a link. Any other address is text, and so is a path that begins with two
  // slashes: on Windows it names another machine, which would be told who opens it.
  const linked = (label, address) => {
    let url = null;
    try { url = new URL(address); } catch { /* no address: not shown */ }
    if (url?.protocol === "file:" && url.host === "" && /^file:\/\/\/(?![/\\]|%2f|%5c)\S*$/i.test(address)) {
      const link = element("a", "", label || address);
      link.href = url.href;
      link.rel = "noopener noreferrer";
      return link;
    }
    const web = url && ["http:", "https:"].includes(url.protocol);
    return element("span", "", web ? `${label} ${address.slice(0, 300)}` : label);
  };

  const passage = (hit, citations) => {
    const quotes = citations.filter((one) => one.chunk && one.chunk === hit.chunk).map((one) => one.quote);
    return element("li", "passage", origin(
      `${hit.rank}`, hit.source, hit.page === null ? "" : `page ${hit.page}`, hit.line === null ? "" : `line ${hit.line}`,
      hit.score === null ? "" : `score ${hit.score.toFixed(3)}`, hit.heading), text(passages[hit.text], quotes));
  };

  // Moving about

  const heads = () => [...list.querySelectorAll(".head")];
  const move = (step) => {
    const all = heads();
    const next = current < 0 && step < 0 ? 0 : current + step;
    if (next >= all.length && (page + 1) * PER_PAGE < found.length) turn(1, 0);
    else if (next < 0 && page > 0) turn(-1, PER_PAGE - 1);
    else focus(Math.min(Math.max(next, 0), all.length - 1));
  };
  const focus = (place) => {
    const head = heads()[place];
    if (!head) return;
    head.focus({ preventScroll: true });
    head.scrollIntoView({ block: "nearest", behavior: "instant" });
  };
  const turn = (step, place) => {
    page += step;
    draw();
    if (place !== undefined) focus(place);
    else list.scrollIntoView({ block: "start", behavior: "instant" });
  };
  const close = () => {
    const inside = document.activeElement?.closest("#list > li");
    const head = inside ? inside.querySelector(".head") : heads()[current];
    if (head?.getAttribute("aria-expanded") === "true") {
      head.click();
      head.focus();
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target === search;
    const choosing = event.target.matches?.("select, input[type=checkbox]");
    if (event.key === "Escape") {
      if (typing && search.value) { search.value = ""; filter(); } else if (typing) search.blur(); else close();
    } else if (typing && (event.key === "ArrowDown" || event.key === "Enter")) focus(0);
    else if (typing || choosing) return;
    else if (event.key === "/") search.focus();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "ArrowDown" && list.contains(event.target)) move(1);
    else if (event.key === "ArrowUp" && list.contains(event.target)) move(-1);
    else return;
    event.preventDefault();
  });

  search.addEventListener("input", filter);
  form.addEventListener("change", (event) => { if (event.target !== search) filter(); });
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));

  // #row=ID opens a question, #cause=NAME and the like filter by it

  const follow = () => {
    const asked = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    const fields = FIELDS.filter((name) => asked.has(name));
    const target = asked.has("row") ? rows.findIndex((row) => row.id === asked.get("row")) : -1;
    if (!fields.length && target < 0) return;
    search.value = "";
    inPassages.checked = false;
    for (const name of FIELDS) at(name).value = asked.has(name) ? "=" + asked.get(name) : "";
    filter();
    if (target < 0) {
      at("questions").scrollIntoView({ behavior: "instant" });
      return;
    }
    page = Math.floor(found.indexOf(target) / PER_PAGE);
    draw();
    const place = found.indexOf(target) % PER_PAGE;
    heads()[place].click();
    focus(place);
    heads()[place].scrollIntoView({ block: "start", behavior: "instant" });
  };
  window.addEventListener("hashchange", follow);

  fillSelects();
  draw();
  follow();
})();
