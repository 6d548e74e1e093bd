// Without it the page can be read as it is; with it the tables can be filtered and sorted, and the theme chosen.
(() => {
  "use strict";
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- the theme, which a browser may not let us remember
  const theme = one("#theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("storage-admin-theme", value);
      return localStorage.getItem("storage-admin-theme");
    } catch {
      return value;
    }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const nameTheme = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const known = remembered();
  if (known === "dark" || known === "light") root.dataset.theme = known;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  // --- the tables
  const list = one("#list");
  const tools = one(".tools");
  const query = one("#q");
  const shown = one("#shown");
  const openAll = one("#open-all");
  const chips = all(".chips button");
  const heads = all("thead th[data-sort]", list);
  const rows = all(":scope > tbody", list).map((body, place) => ({
    body,
    place,
    cells: [...body.rows[0].cells],
    details: one("details", body),
    text: `${body.rows[0].textContent} ${one(".wide", body)?.textContent ?? ""}`.toLowerCase(),
  }));
  let only = "";

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    for (const row of rows) {
      const { status, found } = row.body.dataset;
      const meant = !only || only === status || (only === "found" && found !== undefined);
      const fits = meant && words.every((word) => row.text.includes(word));
      if (row.body.hidden === fits) row.body.hidden = !fits;
      number += fits;
    }
    const total = rows.length.toLocaleString("en");
    shown.textContent = number === rows.length ? `${total} shown` : `${number.toLocaleString("en")} of ${total} shown`;
    nameOpenAll();
  };
  const choose = (value) => {
    only = value;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.only === only));
    filter();
  };
  const visible = () => rows.filter((row) => !row.body.hidden && row.details);
  const nameOpenAll = () => { openAll.textContent = visible().some((row) => row.details.open) ? "Close all" : "Open all"; };

  query.addEventListener("input", filter);
  query.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && query.value) {
      query.value = "";
      filter();
    }
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const chip of chips) chip.addEventListener("click", () => choose(chip.dataset.only));
  openAll.addEventListener("click", () => {
    const open = !visible().some((row) => row.details.open);
    for (const row of visible()) row.details.open = open;
    nameOpenAll();
  });
  list.addEventListener("toggle", nameOpenAll, true);

  // A row opens its details; not where somebody marks a text to copy it.
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    const details = row && one("details", row.parentNode);
    if (details && !event.target.closest("a, button") && !String(getSelection())) details.open = !details.open;
  });

  // --- sorting: numbers begin with the largest, what is equal stays in the order of names
  const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const sort = (head) => {
    const column = head.cellIndex;
    const numeric = head.dataset.sort === "number";
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const direction = head.getAttribute("aria-sort") === first ? second : first;
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => (numeric ? Number(row.cells[column].dataset.v ?? row.cells[column].textContent) || 0 : row.cells[column].textContent);
    const keyed = rows.map((row) => [value(row), row]);
    keyed.sort(([a, x], [b, y]) => sign * (numeric ? a - b : names.compare(a, b)) || x.place - y.place);
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sorted = document.createDocumentFragment();
    for (const [, row] of keyed) sorted.append(row.body);
    list.append(sorted);
  };
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }

  // --- a link to a table opens it, and shows it whatever the filter is
  const follow = () => {
    const row = rows.find(({ body }) => `#${body.id}` === location.hash);
    if (!row) return;
    if (row.body.hidden) {
      query.value = "";
      choose("");
    }
    if (row.details) {
      row.details.open = true;
      one("summary", row.details).focus({ preventScroll: true });
    }
    row.body.scrollIntoView();
  };
  addEventListener("hashchange", follow);

  // --- what is printed is open, and afterwards as it was
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });

  tools.hidden = false;
  new ResizeObserver(() => {
    const sticky = getComputedStyle(tools).position === "sticky";
    root.style.setProperty("--tools", sticky ? `${tools.offsetHeight}px` : "0px");
  }).observe(tools);
  filter();
  follow();
})();
