/* What is wider than the page scrolls in its own box. The box shows on which side there is more, and
   only then it is a stop of the Tab key. */
(() => {
  "use strict";
  const article = document.querySelector("article.bd-article");
  if (!article) return;
  const BOXES = ".pst-scrollable-table-container, div.math, pre, mjx-container, .book-wide";

  const measure = (box) => {
    const hidden = box.scrollWidth - box.clientWidth;
    const seen = box.clientWidth > 2; // the headings of a stacked table are not
    const scrolls = seen && hidden > 1 && getComputedStyle(box).overflowX !== "visible";
    const place = box.scrollLeft;
    return { box, scrolls, left: scrolls && place > 1, right: scrolls && place < hidden - 1 };
  };
  const mark = ({ box, scrolls, left, right }) => {
    box.classList.toggle("book-more-left", left);
    box.classList.toggle("book-more-right", right);
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex"); // MathJax makes every formula a stop
  };
  let waits = false;
  let formulas = null;
  const markAll = () => {
    waits = false;
    [...article.querySelectorAll(BOXES)].map(measure).forEach(mark); // all read, then all written
    const set = window.MathJax?.startup?.promise;
    if (set && set !== formulas) (formulas = set).then(later);
  };
  const later = () => {
    if (!waits) requestAnimationFrame(markAll);
    waits = true;
  };
  // Formulas that are set, parts that open and a window that changes all change the article's size.
  new ResizeObserver(later).observe(article);
  addEventListener("resize", later);
  addEventListener("load", later);
  document.fonts.addEventListener("loadingdone", later); // a formula's letters change their width
  article.addEventListener("toggle", later, true);
  article.addEventListener("scroll", (event) => mark(measure(event.target)), { capture: true, passive: true });
  markAll();
})();
