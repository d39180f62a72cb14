// Print in the light theme, every figure scaled to the paper, which sends no resize event.
const PRINTED = 660; // CSS pixels across a page of A4 or Letter

function prepare(printing) {
  if (theme.printing === printing) return Promise.resolve();
  theme.printing = printing;
  for (const plot of printing ? document.querySelectorAll(".plot") : []) {
    if (!plot.clientWidth) continue; // out of sight: the overlay while surfaces stand side by side
    const panels = plot.closest(".panels");
    const columns = panels ? Number(getComputedStyle(panels).getPropertyValue("--columns")) : 1;
    const zoom = PRINTED / Math.min(columns, 2) / plot.clientWidth;
    plot.style.setProperty("--zoom", zoom);
    plot.style.setProperty("--printed", `${zoom * plot.clientHeight}px`);
  }
  for (const part of document.querySelectorAll("#numbers details, #all-results")) {
    if (printing) part.dataset.open = part.open;
    part.open = printing || part.dataset.open === "true"; // tables and sources are unfolded on paper
  }
  return theme.apply();
}

addEventListener("beforeprint", () => prepare(true));
addEventListener("afterprint", () => prepare(false));

// The browser's own command does not wait for the 3-D scenes, which would print dark from a dark page; this one does.
document.getElementById("print").addEventListener("click", async () => {
  await prepare(true);
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  window.print();
});
