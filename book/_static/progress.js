/* Reading progress: pages read, notebooks run, exercises solved. It stays in this browser (localStorage),
   is the same for both languages, and can be saved to a file and read back. */
(() => {
  "use strict";
  const KEY = "book-progress";
  const KINDS = ["read", "run", "solved"];
  const TEXTS = {
    ko: {
      read: "이 페이지를 읽었습니다", run: "이 노트북을 실행했습니다", solved: "풀었습니다",
      readDone: "읽음", runDone: "실행함", pages: "읽은 페이지", notebooks: "실행한 노트북",
      exercises: "푼 연습 문제", save: "파일로 저장", open: "파일에서 불러오기",
      clear: "모두 지우기", sure: "기록을 모두 지울까요?",
      replace: "이 브라우저의 기록을 파일의 기록으로 바꿀까요?", bad: "이 책의 진도 파일이 아닙니다.",
    },
    en: {
      read: "I have read this page", run: "I have run this notebook", solved: "Solved",
      readDone: "read", runDone: "run", pages: "Pages read", notebooks: "Notebooks run",
      exercises: "Exercises solved", save: "Save to a file", open: "Load from a file",
      clear: "Clear all", sure: "Clear the whole record?",
      replace: "Replace the record in this browser by the one in the file?", bad: "This is not a progress file of this book.",
    },
  };
  const text = TEXTS[document.documentElement.lang.startsWith("ko") ? "ko" : "en"];
  const here = document.querySelector('meta[name="docname"]')?.content;
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);

  function clean(value) { // anything but {kind: {name: true}} is dropped
    const state = {};
    for (const kind of KINDS) {
      state[kind] = {};
      for (const [name, done] of Object.entries(value?.[kind] || {})) if (done === true) state[kind][name] = true;
    }
    return state;
  }
  function load() {
    try { return clean(JSON.parse(localStorage.getItem(KEY))); } catch { return clean(null); }
  }
  function store(state) {
    try { localStorage.setItem(KEY, JSON.stringify(state)); } catch { /* private window: not kept */ }
    refresh(state);
  }
  function set(kind, name, done) {
    const state = load();
    if (done) state[kind][name] = true; else delete state[kind][name];
    store(state);
  }
  function element(tag, options = {}, ...children) {
    const node = Object.assign(document.createElement(tag), options);
    node.append(...children);
    return node;
  }
  function checkbox(kind, name, label) {
    const input = element("input", { type: "checkbox" });
    Object.assign(input.dataset, { kind, name });
    input.addEventListener("change", () => set(kind, name, input.checked));
    return element("label", { className: "progress-check" }, input, " " + label);
  }

  function addChecks() {
    const article = document.querySelector("article.bd-article");
    if (!article || !here || here === "search") return;
    const kind = here.startsWith("notebooks/") ? "run" : "read";
    article.append(element("div", { className: "progress-here d-print-none" }, checkbox(kind, here, text[kind])));
    const single = article.querySelectorAll('section[id*="-nb-exercise-"]'); // as in progress.py
    for (const section of single.length ? single : article.querySelectorAll('section[id$="-nb-exercises"]')) {
      const heading = section.querySelector("h1, h2, h3, h4");
      heading?.after(element("div", { className: "d-print-none" }, checkbox("solved", section.id, text.solved)));
    }
  }

  function markSidebar(state) {
    for (const link of document.querySelectorAll(".bd-links a.reference.internal")) {
      const doc = link.href.split("#")[0].slice(root.href.length).replace(/\.html$/, "");
      link.querySelector(".progress-mark")?.remove();
      const done = state.run[doc] ? text.runDone : state.read[doc] ? text.readDone : "";
      if (!done) continue;
      const mark = element("span", { className: "progress-mark", title: done }, "✓");
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", done);
      link.append(mark);
    }
  }

  function drawOverview(state) {
    const box = document.getElementById("progress-overview");
    const source = document.getElementById("progress-pages");
    if (!box || !source) return;
    const pages = JSON.parse(source.textContent);
    const count = (label, done, all) => element("div", { className: "progress-count" },
      element("strong", {}, `${done} / ${all}`), element("span", {}, label), element("progress", { value: done, max: all || 1, ariaLabel: label }));
    const of = (kind) => pages.filter((page) => page.kind === kind);
    const exercises = pages.flatMap((page) => page.exercises);
    const counts = element("div", { className: "progress-counts" },
      count(text.pages, of("read").filter((page) => state.read[page.doc]).length, of("read").length),
      count(text.notebooks, of("run").filter((page) => state.run[page.doc]).length, of("run").length),
      count(text.exercises, exercises.filter((id) => state.solved[id]).length, exercises.length));
    const rows = pages.map((page) => {
      const solved = page.exercises.filter((id) => state.solved[id]).length;
      const done = state[page.kind][page.doc] ? "✓ " + text[page.kind + "Done"] : "";
      const parts = [done, page.exercises.length ? `${text.exercises} ${solved} / ${page.exercises.length}` : ""];
      return element("li", {}, element("a", { href: new URL(page.doc + ".html", root).href }, page.title), " ",
        element("span", { className: "progress-done" }, parts.filter(Boolean).join(", ")));
    });
    const button = (label, act) => {
      const node = element("button", { type: "button" }, label);
      node.addEventListener("click", act);
      return node;
    };
    const message = element("span", { role: "status", className: "progress-message" });
    const file = element("input", { type: "file", accept: "application/json,.json", hidden: true });
    file.addEventListener("change", async () => {
      try {
        const value = JSON.parse(await file.files[0].text());
        if (!KINDS.every((kind) => value[kind] && typeof value[kind] === "object")) throw new TypeError(text.bad);
        const kept = KINDS.some((kind) => Object.keys(load()[kind]).length > 0);
        if (!kept || confirm(text.replace)) store(clean(value));
      } catch { message.textContent = text.bad; }
      file.value = ""; // the same file may be chosen again
    });
    const save = () => {
      const blob = new Blob([JSON.stringify(load(), null, 1)], { type: "application/json" });
      const link = element("a", { href: URL.createObjectURL(blob), download: "book-progress.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    };
    box.replaceChildren(counts, element("ul", { className: "progress-pages" }, ...rows),
      element("div", { className: "progress-buttons" }, button(text.save, save), button(text.open, () => file.click()),
        button(text.clear, () => confirm(text.sure) && store(clean(null))), file, message));
  }

  function refresh(state) {
    for (const input of document.querySelectorAll("input[data-kind]")) {
      input.checked = state[input.dataset.kind][input.dataset.name] === true;
    }
    markSidebar(state);
    drawOverview(state);
  }
  addChecks();
  refresh(load());
  addEventListener("storage", (event) => event.key === KEY && refresh(load())); // another tab
})();
