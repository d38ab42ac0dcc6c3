// Tables that sort, sources that open, commands that copy, details that print.
(() => {
  "use strict";
  const BLANK = "none";

  function key(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.sort;
    if (text === undefined) return cell.textContent.trim().toLowerCase();
    return text === "" ? null : Number(text);
  }

  function compare(a, b) {
    if (a === null || b === null) return 0;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  }

  // Real data stays on top, what was not measured stays at the end.
  function sorted(rows, column, direction) {
    const sign = direction === "descending" ? -1 : 1;
    const rank = (row) => (row.classList.contains("truth") ? 0 : key(row, column) === null ? 2 : 1);
    return [...rows].sort((a, b) =>
      rank(a) - rank(b) || sign * compare(key(a, column), key(b, column)));
  }

  function makeSortable(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const status = document.createElement("output");
    status.className = "hidden";
    table.parentElement.after(status);

    function sort(head, direction) {
      const column = heads.indexOf(head);
      for (const other of heads) other.setAttribute("aria-sort", BLANK);
      head.setAttribute("aria-sort", direction);
      body.append(...(direction === BLANK ? original : sorted(original, column, direction)));
      const how = direction === BLANK ? "in the order of the suite" : `${direction} by ${head.textContent.trim()}`;
      status.textContent = `Sorted ${how}`;
    }

    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", BLANK);
      const first = head.dataset.best ?? (head.classList.contains("number") ? "descending" : "ascending");
      const second = first === "ascending" ? "descending" : "ascending";
      const next = { [BLANK]: first, [first]: second, [second]: BLANK };
      button.addEventListener("click", () => sort(head, next[head.getAttribute("aria-sort")]));
    }
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  for (const source of document.querySelectorAll(".source")) {
    source.addEventListener("toggle", (event) => {
      if (event.newState === "open") source.querySelector("h4").focus();
    });
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
})();
