/* The search page: finds a query in the index that page_search.py wrote, ranks the pages, shows excerpts. */
(() => {
  "use strict";
  const korean = document.documentElement.lang === "ko";
  const TEXTS = korean
    ? { none: "찾는 말이 든 페이지가 없습니다. 다른 말로 찾아보세요.", found: (n) => `${n}개 페이지를 찾았습니다.`,
        empty: "찾을 말을 넣으세요.", wait: "찾는 중입니다.",
        kinds: { review: "리뷰", notebook: "노트북", guide: "길잡이", family: "계열", results: "결과", glossary: "용어" } }
    : { none: "No page has these words. Try others.", found: (n) => (n === 1 ? "1 page found." : `${n} pages found.`),
        empty: "Type what you are looking for.", wait: "Searching.",
        kinds: { review: "review", notebook: "notebook", guide: "guide", family: "family", results: "results",
          glossary: "glossary" } };
  const GLOSSARY = "book/guide/glossary";
  // How much a hit in a page of each kind counts. Notebooks and lists repeat the words of the reviews.
  const WEIGHT = { review: 1, guide: 1, family: 0.85, results: 0.6, notebook: 0.6, book: 0.5 };
  const EXCERPT = 190; // signs
  // Josa and copula that may follow a noun; longest first.
  const PARTICLE = new RegExp(
    "(?:에서는|으로는|이라는|입니다|에서|으로|까지|부터|에게|보다|처럼|이란|라는|이나|에는|이라|과는|와는|은|는|이|가|을|를|의|에|로|와|과|도|만|란|나)$");

  const plain = (text) => text.normalize("NFC").toLowerCase().replace(/[‐‑–—−]/g, "-");
  /** A name without what people write differently: "log-det", "log det" and "logdet" are one. */
  const squash = (text) => plain(text).replace(/[^\p{L}\p{N}]+/gu, "");
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\\/]/g, "\\$&");
  const hangul = (text) => /[가-힣]/.test(text);

  /** Patterns that find a word in prose, the strictest first. Korean words begin a word, and particles may follow. */
  function patterns(word) {
    const inner = escape(word).replace(/[-\s]+/g, "[-‐‑–—−\\s|]*");
    if (hangul(word)) {
      // 메모리뱅크 also finds 메모리 뱅크; two syllables would find 것이 상당히
      const loose = word.length > 3 ? [...word].map(escape).join("\\s?") : inner;
      return [`(?<![가-힣])${inner}`, `(?<![가-힣])${loose}`, loose];
    }
    const stem = escape(word.replace(/(?<=[a-z]{3})(?:ies|es|s|ing|ed|ization|isation)$/, "")).replace(/[-\s]+/g, "[-‐‑–—−\\s|]*");
    const ends = /^[a-z]+$/.test(word) && word.length > 3 ? "(?:s|es|y|ies|ing|ed|ization|isation)?" : "s?";
    return [`(?<![a-z0-9_])(?:${inner}|${stem}${ends})(?![a-z0-9_])`, `(?<![a-z0-9_])${inner}`, ...(word.length > 2 ? [inner] : [])];
  }

  let pages = null;

  window.bookSearch = (index) => {
    pages = Object.entries(index).map(([doc, page]) => {
      const names = [{ name: squash(page.title), shown: page.title, anchor: "", worth: 100 }];
      return { doc, ...page, names, text: page.sections.map((section) => section[2]).join("\n") };
    });
    const byName = new Map(pages.map((page) => [page.doc, page]));
    for (const page of [...pages]) {
      for (const entry of page.entries || []) {
        entry.squashed = entry.names.map(squash);
        const home = entry.home && byName.get(entry.home[0]);
        if (!home) continue;
        entry.names.forEach((shown, i) =>
          home.names.push({ name: entry.squashed[i], shown, anchor: entry.home[1], worth: 90, entry }));
      }
    }
    run();
  };

  /** The words to look for: as typed, or without a particle where only that is a known word. */
  function wordsOf(query) {
    const known = (word) => {
      const name = squash(word);
      return pages.some((page) => page.names.some((each) => each.name === name)
        || (page.entries || []).some((entry) => entry.squashed.includes(name)));
    };
    const written = (word) => pages.some((page) => new RegExp(patterns(word)[0], "iu").test(page.title + "\n" + page.text));
    return plain(query).split(/\s+/)
      .map((word) => word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}%+]+$/gu, "")).filter(Boolean)
      .map((word) => {
        const bare = word.replace(PARTICLE, "");
        if (!hangul(word) && !/[가-힣]$/.test(word)) return word;
        if (bare.length < 2 || bare === word || known(word)) return word;
        return known(bare) || !written(word) ? bare : word;
      });
  }

  /** The pattern for a word: the strictest that some page answers to, so that 우도 does not find 경우도. */
  function choose(word) {
    for (const source of patterns(word)) {
      const pattern = new RegExp(source, "giu");
      const hit = (text) => { pattern.lastIndex = 0; return pattern.test(text); };
      if (pages.some((page) => hit(page.title) || hit(page.text)
        || page.sections.some((section) => hit(section[1])) || (page.entries || []).some((entry) => hit(entry.text)))) {
        return pattern;
      }
    }
    return null;
  }

  /** English names may differ by a plural. */
  const same = (a, b) => a === b || (a.length > 2 && b.length > 2 && (a + "s" === b || b + "s" === a));

  const count = (pattern, text) => (text.match(pattern) || []).length;

  function score(page, query, words, found) {
    const hit = { page, score: 0, anchor: "", heading: "", excerpt: "", matched: 0 };
    const whole = squash(words.join(""));
    const weight = WEIGHT[page.kind] ?? 0.5;
    let best = 0;
    const lead = (value, anchor, heading, excerpt) => {
      if (value > best) Object.assign(hit, { anchor, heading, excerpt }), (best = value);
    };
    const matched = new Set();
    // a name is the query; or one of its words; or has it as a word, as 마할라노비스 거리 has 마할라노비스
    const equal = (name, shown, i) => {
      if (same(name, whole)) return 1;
      if (same(name, squash(words[i]))) return 0.45;
      return words.length === 1 && plain(shown).split(/\s+/).some((part) => same(part, words[0])) ? 0.4 : 0;
    };
    // names of the page: its title, and the words of the glossary that it explains
    let named = 0;
    let home = "";
    for (const each of page.names) {
      words.forEach((word, i) => {
        const share = equal(each.name, each.shown, i);
        if (!share || (!each.entry && share < 0.45)) return;
        (share === 1 ? words : [word]).forEach((one) => matched.add(one));
        if (each.worth * share > named) [named, home] = [each.worth * share, each.anchor];
        // said only where the page's own prose has another word, as for 패치코어
        const alias = each.entry && each.name !== page.names[0].name;
        const said = alias ? `${each.shown} → ${page.title}. ${each.entry.text}` : `${page.title}. ${page.text.trim()}`;
        lead(share * (alias ? 2 : 1), each.anchor, "", said);
      });
    }
    hit.score += named;
    words.forEach((word, i) => {
      const pattern = found[i];
      if (!pattern) return;
      if (count(pattern, page.title)) { hit.score += 25 * weight; matched.add(word); }
    });
    // entries of the glossary
    let entered = 0;
    for (const entry of page.entries || []) {
      let value = 0;
      const has = new Set();
      words.forEach((word, i) => {
        const share = Math.max(...entry.squashed.map((name, n) => equal(name, entry.names[n], i)));
        if (share) value += 60 * share / (entry.squashed.includes(whole) ? words.length : 1);
        const times = found[i] ? count(found[i], entry.text) : 0;
        if (times) value += entry.names.some((name) => count(found[i], name)) ? 8 : 2;
        if (share || times) has.add(word);
      });
      if (!value) continue;
      has.forEach((word) => matched.add(word));
      entered = Math.max(entered, value);
      lead(value, entry.anchor, "", entry.text);
    }
    hit.score += entered;
    // headings and prose
    let prose = 0;
    let heads = 0;
    const times = words.map(() => 0);
    for (const [anchor, heading, text] of page.sections) {
      let value = 0;
      words.forEach((word, i) => {
        if (!found[i]) return;
        const inHeading = heading ? count(found[i], heading) : 0;
        const inText = count(found[i], text);
        if (inHeading) heads = Math.max(heads, 12);
        if (inHeading || inText) matched.add(word);
        times[i] += inText;
        if (inText) value += 4 + Math.min(inText, 3) + (inHeading ? 8 : 0);
        else if (inHeading) value += 3;
      });
      const said = heading && found.some((pattern) => pattern && count(pattern, heading) && !count(pattern, text));
      if (value && anchor && anchor === home) value += 6; // the glossary says that it is explained here
      if (value) lead(value, anchor, heading, said ? `${heading}. ${text}` : text);
    }
    if (named >= 100) hit.anchor = hit.heading = ""; // the page itself is meant
    times.forEach((n) => { prose += (14 * n) / (n + 4); });
    hit.score += (heads + prose) * weight;
    hit.matched = matched.size;
    return hit;
  }

  /** The part of a text where most of the words stand together, with the matches marked. */
  function excerpt(text, found) {
    const spots = [];
    found.forEach((pattern, i) => {
      if (pattern) for (const match of text.matchAll(pattern)) spots.push([match.index, match.index + match[0].length, i]);
    });
    spots.sort((a, b) => a[0] - b[0]);
    const near = (spot) => spots.filter((other) => other[0] >= spot[0] && other[1] < spot[0] + EXCERPT - 60);
    const worth = (spot) => 10 * new Set(near(spot).map((other) => other[2])).size + near(spot).length;
    const lead = spots.reduce((best, spot) => (best && worth(best) >= worth(spot) ? best : spot), null);
    const from = lead ? lead[0] : 0;
    let start = Math.max(0, from - 60);
    if (start > 0) start = text.indexOf(" ", start) + 1 || start;
    if (start > from) start = from;
    let end = Math.min(text.length, start + EXCERPT);
    if (end < text.length) end = Math.max(text.lastIndexOf(" ", end), lead ? lead[1] : 0) || end;
    const box = document.createElement("p");
    box.className = "context";
    if (start > 0) box.append("… ");
    let at = start;
    for (const [a, b] of spots) {
      if (a < at || b > end) continue;
      const mark = document.createElement("mark");
      mark.textContent = text.slice(a, b);
      box.append(text.slice(at, a), mark);
      at = b;
    }
    box.append(text.slice(at, end), end < text.length ? " …" : "");
    return box;
  }

  function find(query) {
    const words = [...new Set(wordsOf(query))];
    if (!words.length) return { hits: [], found: [] };
    const found = words.map(choose);
    const hits = pages.map((page) => score(page, query, words, found)).filter((hit) => hit.matched);
    const most = Math.max(0, ...hits.map((hit) => hit.matched));
    const best = hits.filter((hit) => hit.matched === most);
    best.sort((a, b) => b.score - a.score || (a.page.doc < b.page.doc ? -1 : 1));
    return { hits: best, found };
  }

  function show(hit, found) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${hit.page.doc}.html${hit.anchor ? "#" + hit.anchor : ""}`;
    link.textContent = hit.page.title;
    item.append(link);
    const kind = TEXTS.kinds[hit.page.doc === GLOSSARY ? "glossary" : hit.page.kind];
    const said = plain(hit.page.title).endsWith(plain(kind || " "));
    const where = [said ? "" : kind, hit.heading].filter(Boolean).join(" › ");
    if (where) {
      const note = document.createElement("span");
      note.className = "search-where";
      note.textContent = where;
      item.append(" ", note);
    }
    if (hit.excerpt) item.append(excerpt(hit.excerpt, found));
    return item;
  }

  function run() {
    const query = new URLSearchParams(location.search).get("q") || "";
    const status = document.querySelector("#search-results .search-summary");
    const list = document.querySelector("#search-results .search");
    for (const field of document.querySelectorAll("input[name=q]")) field.value = query;
    if (!query.trim()) return void (status.textContent = TEXTS.empty);
    if (!pages) {
      // a script, because a page that was opened from a folder may read nothing else
      status.textContent = TEXTS.wait;
      document.head.append(Object.assign(document.createElement("script"), { src: "search_index.js" }));
      return;
    }
    const { hits, found } = find(query);
    list.replaceChildren(...hits.map((hit) => show(hit, found)));
    status.textContent = hits.length ? TEXTS.found(hits.length) : TEXTS.none;
    list.dataset.ready = "true";
    document.title = `${query} · ${document.title}`;
  }

  run();
})();
