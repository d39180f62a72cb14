// Print: light, and every figure scaled to the paper, which sends no resize event.
const PRINTED = 660; // CSS pixels across a page of A4 or Letter

for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    look.printing = printing;
    for (const plot of printing ? document.querySelectorAll(".plot") : []) {
      if (!plot.clientWidth) continue; // out of sight: the overlay while surfaces stand side by side
      const panels = plot.closest(".panels");
      const columns = panels ? Number(getComputedStyle(panels).getPropertyValue("--columns")) : 1;
      const zoom = PRINTED / Math.min(columns, 2) / plot.clientWidth;
      plot.style.setProperty("--zoom", zoom);
      plot.style.setProperty("--printed", `${zoom * plot.clientHeight}px`);
    }
    look.apply();
  });
}
