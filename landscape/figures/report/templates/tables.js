// Sortable tables: a click on a column's head sorts ascending, then descending; missing values stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector(".sort").addEventListener("click", () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [row, row.cells[column].dataset.value]);
      rows.sort(([, a], [, b]) => {
        if (!a || !b) return Number(!a) - Number(!b);
        const [x, y] = [number(a), number(b)];
        return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y);
      });
      body.append(...rows.map(([row]) => row));
    });
  });
}

// Python writes infinity as inf.
function number(text) {
  return Number(text.replace("inf", "Infinity"));
}
