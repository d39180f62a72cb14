// Light and dark theme: the system's until the reader chooses; print is always light.
const theme = {
  asked: null, // what the reader chose; null follows the system
  printing: false,
  system: matchMedia("(prefers-color-scheme: dark)"),
  get name() {
    if (this.printing) return "light";
    return this.asked ?? (this.system.matches ? "dark" : "light");
  },
  get template() {
    return page.templates[this.name];
  },
  // Shades of the colour of a series, from dark to light.
  shades(series) {
    const shades = page.shades[this.name];
    return shades[series % shades.length];
  },
  // Copy a part of a figure; in the dark theme, with every light colour replaced by its dark counterpart.
  recolour(part) {
    if (typeof part === "string") return (this.name === "dark" && page.darkOfLight[part]) || part;
    if (Array.isArray(part)) return part.map((item) => this.recolour(item));
    if (part === null || typeof part !== "object" || ArrayBuffer.isView(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, this.recolour(item)]));
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
  theme.asked = localStorage.getItem("landscape-theme");
} catch {
  // this browser has no storage for local files: the choice lasts as long as the page
}
theme.mark();
document.getElementById("theme").addEventListener("click", () => {
  theme.asked = theme.name === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("landscape-theme", theme.asked);
  } catch {
    // as above
  }
  theme.apply();
});
theme.system.addEventListener("change", () => theme.asked ?? theme.apply());
