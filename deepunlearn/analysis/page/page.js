"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const all = (what, where = document) => [...where.querySelectorAll(what)];

  // ------------------------------------------------------------------------------------------------ one view at a time
  const views = all(".view");
  const menu = document.getElementById("menu");
  const ending = document.title.slice(document.title.indexOf(" – "));
  let shown = null;
  const show = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const chosen = target?.closest(".view") || (target ? shown : null) || views[0];
    if (chosen !== shown) {
      views.forEach((view) => view.classList.toggle("shown", view === chosen));
      all("nav a").forEach((link) => {
        const own = link.hash === "#" + chosen.id || (link.hash === "#methods" && chosen.id.startsWith("method-"));
        if (own) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      });
      menu.value = chosen.id;
      document.title = chosen.dataset.title + ending;
      all(".sortable", chosen).forEach(makeSortable);
      window.scrollTo(0, 0);
      shown = chosen;
    }
    if (target && target !== chosen) target.focus();
  };
  window.addEventListener("hashchange", show);
  menu.addEventListener("change", () => (location.hash = menu.value));

  // ----------------------------------------------------------------------------------------------- tables that one sorts
  const words = new Intl.Collator(undefined, { numeric: true });
  const missing = (text) => text === "" || text === "n/a" || text === "nan" || text === "–" || text === "-";
  // A cell's number (1,000 is one thousand), its distance to the ideal where there is one, else its words.
  const keyOf = (row, column, ideal) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = parseFloat(text.replace(/(\d),(?=\d{3}(?!\d))/g, "$1"));
    if (Number.isNaN(number)) return text;
    return ideal === undefined ? number : Math.abs(number - ideal);
  };
  // Numbers before words, what is missing last in either direction.
  const compare = ([one], [other], sign) => {
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    const numbers = (typeof one === "number") - (typeof other === "number");
    if (numbers) return -numbers;
    return sign * (typeof one === "number" ? one - other : words.compare(one, other));
  };
  const sort = (header) => {
    const table = header.closest("table");
    const column = [...header.parentNode.cells].indexOf(header);
    const before = header.getAttribute("aria-sort");
    const up = before ? before === "descending" : header.dataset.first !== "down";
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const ideal = header.dataset.ideal === undefined ? undefined : parseFloat(header.dataset.ideal);
    const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column, ideal), row]);
    rows.sort((one, other) => compare(one, other, up ? 1 : -1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  // The headers become buttons when their view is first shown: the Enter key and Space press them.
  const makeSortable = (table) => {
    if (table.dataset.ready) return;
    table.dataset.ready = "yes";
    all('tr:last-child th[scope="col"]', table.tHead).forEach((header) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(header));
      header.append(button);
    });
  };

  // ------------------------------------------------------------------------------------------------------------ filters
  const filters = all("[data-filter]");
  const sets = all(".set").map((set) => ({ set, parts: all("[data-method]", set) }));
  const filter = () => {
    const chosen = Object.fromEntries(filters.map((one) => [one.dataset.filter, one.value]));
    const { method = "", ...labels } = chosen;
    let count = 0;
    sets.forEach(({ set, parts }) => {
      let fits = Object.entries(labels).every(([name, value]) => !value || set.dataset[name] === value);
      if (fits && method) fits = parts.some((part) => part.dataset.method === method);
      set.hidden = !fits;
      count += fits;
      if (fits)
        parts.forEach((part) => {
          const other = method && part.dataset.method !== method && !part.classList.contains("reference");
          part.toggleAttribute("hidden", Boolean(other));
        });
    });
    const told = document.getElementById("shown");
    if (told) told.textContent = `${count} of ${sets.length} result sets`;
  };
  filters.forEach((one) => one.addEventListener("change", filter));
  filter();

  // ---------------------------------------------------------------------------------- a line and its mark in the plot
  document.addEventListener("mouseover", (event) => {
    all(".lit").forEach((mark) => mark.classList.remove("lit"));
    const line = event.target.closest(".summary tr[data-method]");
    if (line) all(`.plot a[data-method="${line.dataset.method}"]`, line.closest(".set")).forEach((mark) => mark.classList.add("lit"));
  });

  // ---------------------------------------------------------------------------------------------------------- downloads
  // The page holds tables gzipped; who has scripts gets them as plain CSV.
  const unpacked = async (link) => {
    const bytes = Uint8Array.from(atob(link.href.slice(link.href.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Blob([await new Response(stream).arrayBuffer()], { type: "text/csv" });
  };
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.download");
    if (!link || !link.href.startsWith("data:application/gzip") || !window.DecompressionStream) return;
    event.preventDefault();
    const plain = document.createElement("a");
    plain.href = URL.createObjectURL(await unpacked(link));
    plain.download = link.download.replace(/\.gz$/, "");
    plain.click();
    setTimeout(() => URL.revokeObjectURL(plain.href), 10000);
  });

  // ------------------------------------------------------------------------------------------------------ light or dark
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  show();
})();
