/* Small things every page needs. */
(() => {
  "use strict";
  // The other language's page opens at the same section, with the same search.
  const link = document.querySelector("a.language-switch");
  if (link) {
    const page = link.getAttribute("href");
    const follow = () => link.setAttribute("href", page + location.search + location.hash);
    follow();
    addEventListener("hashchange", follow);
    link.addEventListener("click", follow);
  }
})();
