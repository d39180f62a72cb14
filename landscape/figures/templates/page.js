"use strict";
// The page itself: its data, light and dark, print, copy buttons. The figures are in plots.js and planes.js.
const page = JSON.parse(document.getElementById("data").textContent);
const redraws = []; // functions that draw everything again, in the current look

// Before plotly.js runs: 3-D canvases keep their last picture, so that it can be printed; 2-D ones, of which it reads
// the width of texts, are kept where reading is quick.
const { getContext } = HTMLCanvasElement.prototype;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return getContext.call(this, kind, { ...options, preserveDrawingBuffer: true, willReadFrequently: true });
};

const look = {
  asked: null, // what the reader chose; null follows the system
  printing: false,
  system: matchMedia("(prefers-color-scheme: dark)"),
  get name() {
    if (this.printing) return "light";
    return this.asked ?? (this.system.matches ? "dark" : "light");
  },
  get template() {
    return page.look[this.name];
  },
  // A copy of a figure's part with every light colour turned into its dark counterpart where the look is dark.
  dress(part) {
    if (typeof part === "string") return (this.name === "dark" && page.swaps[part]) || part;
    if (Array.isArray(part)) return part.map((item) => this.dress(item));
    if (part === null || typeof part !== "object" || ArrayBuffer.isView(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, this.dress(item)]));
  },
  apply() {
    document.documentElement.dataset.theme = this.name;
    document.getElementById("theme").textContent = this.name === "dark" ? "Light" : "Dark";
    return Promise.all(redraws.map((redraw) => redraw()));
  },
};

try {
  look.asked = localStorage.getItem("landscape-theme");
} catch {
  // no storage for files in this browser: the choice lasts as long as the page
}
document.documentElement.dataset.theme = look.name;
document.getElementById("theme").textContent = look.name === "dark" ? "Light" : "Dark";
document.getElementById("theme").addEventListener("click", () => {
  look.asked = look.name === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("landscape-theme", look.asked);
  } catch {
    // as above
  }
  look.apply();
});
look.system.addEventListener("change", () => look.asked ?? look.apply());
const PRINTED = 660; // CSS pixels across a page of A4 or Letter: figures are scaled to it, for paper sends no resize event
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    look.printing = printing;
    for (const plot of printing ? document.querySelectorAll(".plot") : []) {
      const columns = Number(getComputedStyle(plot.closest(".panels")).getPropertyValue("--columns"));
      const zoom = PRINTED / Math.min(columns, 2) / plot.clientWidth;
      plot.style.setProperty("--zoom", zoom);
      plot.style.setProperty("--printed", `${zoom * plot.clientHeight}px`);
    }
    look.apply();
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code); // at least it is selected, for the reader to copy
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// What all figures share: nothing that talks to a server, and pictures fit for print.
const coarse = matchMedia("(pointer: coarse)").matches;
const config = (buttons, name) => ({
  responsive: true,
  displaylogo: false,
  scrollZoom: false,
  displayModeBar: coarse ? false : "hover",
  modeBarButtons: [buttons],
  showTips: false,
  toImageButtonOptions: { format: "png", scale: 3, filename: name },
});

// Draw one figure after the other, giving the browser time to paint in between.
const pause = () => new Promise((resolve) => setTimeout(resolve));
const chosen = (id) => document.querySelector(`input[name="${CSS.escape(id)}"]:checked`)?.value;
