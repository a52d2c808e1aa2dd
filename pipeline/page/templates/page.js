"use strict";
// Sorting: numbers from the largest at first, text from A; what is undefined stays last.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const numeric = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const down = before === "none" ? numeric : before === "ascending";
    const key = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => numeric ? key(a) - key(b) : key(a).localeCompare(key(b));
    const rows = [...table.tBodies[0].rows];
    const known = rows.filter((row) => key(row) !== "");
    known.sort((a, b) => down ? compare(b, a) : compare(a, b));
    table.tBodies[0].append(...known, ...rows.filter((row) => key(row) === ""));
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
}

// Folding: a link to a run unfolds it, printing unfolds all.
const runs = [...document.querySelectorAll("details")];
const foldAll = (open) => { for (const run of runs) run.open = open; };
document.getElementById("unfold")?.addEventListener("click", () => foldAll(true));
document.getElementById("fold")?.addEventListener("click", () => foldAll(false));
const unfoldTarget = () => {
  const target = document.getElementById(location.hash.slice(1))?.closest("details");
  if (target) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfoldTarget);
addEventListener("beforeprint", () => foldAll(true));
unfoldTarget();
