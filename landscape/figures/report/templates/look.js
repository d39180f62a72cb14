// Light and dark: as the system has it until the reader chooses; paper is always light.
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
  // Shades from dark to light of the colour of a series.
  ramp(series) {
    const ramps = page.ramps[this.name];
    return ramps[series % ramps.length];
  },
  // A copy of a figure's part with every light colour turned into its dark counterpart where the look is dark.
  dress(part) {
    if (typeof part === "string") return (this.name === "dark" && page.swaps[part]) || part;
    if (Array.isArray(part)) return part.map((item) => this.dress(item));
    if (part === null || typeof part !== "object" || ArrayBuffer.isView(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, this.dress(item)]));
  },
  mark() {
    document.documentElement.dataset.theme = this.name;
    document.getElementById("theme").textContent = this.name === "dark" ? "Light" : "Dark";
  },
  apply() {
    this.mark();
    return Promise.all(redraws.map((redraw) => redraw()));
  },
};

try {
  look.asked = localStorage.getItem("landscape-theme");
} catch {
  // no storage for files in this browser: the choice lasts as long as the page
}
look.mark();
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
