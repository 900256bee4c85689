"use strict";
// Sorts a table by the heading that is pressed; rows without a value stay at the end, whichever way it goes.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const keyed = [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[column];
        const numeric = cell.hasAttribute("data-key");
        const text = numeric ? cell.dataset.key : cell.textContent;
        return { row, key: numeric && text !== "" ? Number(text) : text, empty: text === "" };
      });
      keyed.sort((a, b) => {
        if (a.empty || b.empty) return a.empty - b.empty;
        return sign * (typeof a.key === "number" ? a.key - b.key : a.key.localeCompare(b.key));
      });
      table.tBodies[0].append(...keyed.map((item) => item.row));
    });
  });
}
