/* Small things every page needs. */
(() => {
  "use strict";
  // --- language switch: the other language's page opens at the section in view, with the same search ---
  const link = document.querySelector("a.language-switch");
  const sectionInView = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const top = target?.getBoundingClientRect().top;
    if (top > -40 && top < innerHeight) return location.hash;
    const headings = document.querySelectorAll("article.bd-article section[id] > :is(h2, h3, h4)");
    const passed = [...headings].filter((each) => each.getBoundingClientRect().top < 150); // below the header
    return passed.length ? "#" + passed.at(-1).parentElement.id : "";
  };
  if (link) {
    const page = link.getAttribute("href");
    const follow = () => link.setAttribute("href", page + location.search + sectionInView());
    follow();
    for (const name of ["hashchange", "scrollend"]) addEventListener(name, follow);
    for (const name of ["pointerenter", "focus", "click"]) link.addEventListener(name, follow);
  }

  // --- keyboard: a button keeps its focus, which the theme takes away, and gets it back from its dialog ---
  let opener = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".sidebar-toggle, .search-button__button, .theme-switch-button");
    if (!button) return;
    opener = button;
    const pressed = event.detail === 0; // by keyboard
    setTimeout(() => pressed && !document.querySelector("dialog[open]") && button.focus());
  }, true);
  for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => opener?.focus());

  // --- names: what is read aloud is what is seen ---
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label");
    button.querySelector(".search-button__kbd-shortcut")?.setAttribute("aria-hidden", "true");
  }
  if (document.documentElement.lang === "ko") { // the theme has these in English only
    document.querySelector("nav.bd-docs-nav")?.setAttribute("aria-label", "차례");
    document.querySelector('nav[aria-label="Page"]')?.setAttribute("aria-label", "이 페이지의 차례");
  }

  // --- print: in ink on white, also from the dark ---
  const root = document.documentElement;
  let shown = null;
  const print = (starts) => {
    if (starts && shown === null) {
      shown = root.dataset.theme;
      root.dataset.theme = "light";
    } else if (!starts && shown !== null) {
      root.dataset.theme = shown;
      shown = null;
    }
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (event) => print(event.matches));
})();
