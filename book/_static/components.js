/* Events and highlights for what is drawn from the registry; everything works without this script. */
(() => {
  "use strict";

  // A solved question tells the page: document hears "book:solved" with {id}.
  for (const question of document.querySelectorAll(".book-question")) {
    question.addEventListener("change", (event) => {
      if (event.target.dataset.right !== "true" || question.dataset.solved) return;
      question.dataset.solved = "true";
      const detail = { id: question.dataset.quiz };
      document.dispatchEvent(new CustomEvent("book:solved", { detail }));
    });
  }

  // On the map, the method under pointer or focus shows what it builds on and what builds on it.
  for (const map of document.querySelectorAll(".book-map-drawing")) {
    const show = (id) => {
      map.classList.toggle("book-map-chosen", Boolean(id));
      const near = new Set([id]);
      for (const edge of map.querySelectorAll(".edge")) {
        const chosen = Boolean(id) && (edge.dataset.from === id || edge.dataset.to === id);
        edge.classList.toggle("chosen", chosen);
        if (chosen) near.add(edge.dataset.from).add(edge.dataset.to);
      }
      for (const method of map.querySelectorAll(".method")) {
        method.classList.toggle("chosen", Boolean(id) && near.has(method.dataset.id));
      }
    };
    for (const method of map.querySelectorAll(".method")) {
      for (const name of ["pointerenter", "focus"]) {
        method.addEventListener(name, () => show(method.dataset.id));
      }
      for (const name of ["pointerleave", "blur"]) method.addEventListener(name, () => show(null));
    }
  }

  // --- threshold: one slider moves masks, verdicts, counts and the point on the curve -----------
  for (const figure of document.querySelectorAll(".book-threshold")) {
    const body = figure.querySelector("[data-steps]");
    const { thresholds, alarms, found, good, defective, words, summary } = JSON.parse(body.dataset.steps);
    const slider = figure.querySelector("input");
    const roc = figure.querySelector(".book-threshold-roc");
    const side = Number(roc.dataset.side);
    const decide = () => {
      const i = Number(slider.value);
      const blanks = [thresholds[i], alarms[i], good, defective - found[i], defective];
      const text = summary.replace(/\{(\d)\}/g, (_, blank) => blanks[blank]);
      figure.querySelector(".book-threshold-summary").textContent = text;
      slider.setAttribute("aria-valuetext", text);
      const marked = Math.floor(((good - alarms[i]) * 255) / good); // the lowest level that counts
      figure.querySelector("feFuncA").setAttribute("intercept", 1 - 2 * marked);
      const point = roc.querySelector("circle");
      point.setAttribute("cx", Number(roc.dataset.left) + (side * alarms[i]) / good);
      point.setAttribute("cy", Number(roc.dataset.top) + side * (1 - found[i] / defective));
      for (const image of figure.querySelectorAll("li")) {
        const bad = image.dataset.label === "1";
        const flagged = i < Number(image.dataset.below);
        image.className = flagged === bad ? "right" : "wrong";
        image.querySelector("b").textContent = words[2 * bad + !flagged];
      }
    };
    slider.addEventListener("input", decide);
    slider.parentElement.hidden = false;
    decide(); // a browser may keep where the slider was
  }

  // --- claims: show those of one verdict or family ---------------------------------------------
  for (const form of document.querySelectorAll("form.book-filter")) {
    const rows = [...form.parentElement.querySelectorAll("tbody tr[id^=claim-]")];
    const choose = () => {
      const wanted = [...form.querySelectorAll("select")].map((s) => s.value).filter(Boolean);
      for (const row of rows) row.hidden = !wanted.every((name) => row.classList.contains(name));
      const shown = rows.filter((row) => !row.hidden).length;
      const text = form.dataset.shown.replace("{0}", shown).replace("{1}", rows.length);
      form.querySelector("output").textContent = text;
    };
    form.addEventListener("change", choose);
    form.addEventListener("submit", (event) => event.preventDefault());
    // A link to a claim shows it, whatever was chosen.
    addEventListener("hashchange", () => {
      const row = document.getElementById(location.hash.slice(1));
      if (!rows.includes(row) || !row.hidden) return;
      form.reset();
      choose();
      row.scrollIntoView();
    });
    form.hidden = false;
    choose(); // a browser may keep what was chosen before
  }
})();
