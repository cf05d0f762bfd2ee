"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  // ------------------------------------------------------------------------------------------------ one view at a time
  const views = [...document.querySelectorAll(".view")];
  const show = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    const chosen = views.find((view) => view.id === name) || views[0];
    views.forEach((view) => view.classList.toggle("shown", view === chosen));
    document.querySelectorAll("nav a").forEach((link) => {
      const own = link.hash === "#" + chosen.id || (link.hash === "#methods" && chosen.id.startsWith("method-"));
      if (own) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    window.scrollTo(0, 0);
  };
  window.addEventListener("hashchange", show);
  show();

  // ----------------------------------------------------------------------------------------------- tables that one sorts
  const words = new Intl.Collator(undefined, { numeric: true });
  // Numbers before words, what is missing last in either direction.
  const compare = (one, other, sign) => {
    const missing = (text) => text === "" || text === "n/a" || text === "nan";
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    const [a, b] = [parseFloat(one), parseFloat(other)];
    if (!Number.isNaN(a) && !Number.isNaN(b) && a !== b) return sign * (a - b);
    return sign * words.compare(one, other);
  };
  const sort = (header) => {
    const table = header.closest("table");
    const column = [...header.parentNode.children].indexOf(header);
    const up = header.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = (row) => row.children[column].textContent.trim();
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => compare(text(one), text(other), up ? 1 : -1));
    table.tBodies[0].append(...rows);
  };
  document.querySelectorAll(".sortable thead th").forEach((header) => {
    header.tabIndex = 0;
    header.addEventListener("click", () => sort(header));
    header.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort(header);
    });
  });

  // ------------------------------------------------------------------------------------------------------ light or dark
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
