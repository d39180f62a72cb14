// Two surfaces in one scene, each in its own colour and opacity, to compare their extents.
class Overlay {
  constructor(plane) {
    this.plane = plane;
    this.root = plane.root.querySelector(".overlaid");
    this.scene = new Scene(plane.control("overlay"), plane.cameras, () => this.figure());
    for (const part of ["first", "second"]) {
      plane.control(part).addEventListener("change", () => this.draw());
      plane.control(`${part}-opacity`).addEventListener("input", () => this.draw());
    }
  }

  // Show this scene instead of those side by side, which are released, so that no hidden canvas is drawn.
  async toggle(shown) {
    const { plane } = this;
    this.root.hidden = !shown;
    plane.root.querySelector(".reliefs").hidden = shown;
    plane.root.querySelector(".relief-scale").classList.toggle("plain", shown);
    this.scene.visible = shown;
    if (shown) {
      for (const panel of plane.panels) if (live.has(panel.scene)) await panel.scene.putAway();
      await this.draw();
      return;
    }
    if (live.has(this.scene)) await this.scene.putAway();
    for (const panel of plane.panels) await panel.scene.show();
  }

  draw() {
    for (const part of ["first", "second"]) {
      const swatch = this.root.querySelector(`[data-part="${part}"] .swatch`);
      swatch.style.background = this.ramp(part)[1][1];
    }
    return this.root.hidden ? null : this.scene.show();
  }

  // The shades of a surface; the second of two equal colours gets another.
  ramp(part) {
    const { series } = this.panel(part);
    return theme.shades(part === "second" && series === this.panel("first").series ? series + 1 : series);
  }

  panel(part) {
    return this.plane.panels[Number(this.plane.control(part).value)];
  }

  figure() {
    const { plane } = this;
    const { view, scale } = plane;
    const parts = ["first", "second"].filter((part) => this.panel(part).rows[view.grid]);
    const data = parts.flatMap((part) => {
      const panel = this.panel(part);
      const [main] = theme.recolour(panel.relief.data);
      const [z, shades] = [heights(panel.rows[view.grid], scale), this.ramp(part)];
      plane.surface(main, panel, z, shades);
      main.opacity = Number(plane.control(`${part}-opacity`).value) / 100;
      main.lighting = plane.shaping;
      main.hovertemplate = `<b>${panel.title}</b><br>${main.hovertemplate}`;
      return [main, ...plane.lines(main, panel, z), ...plane.floor(panel, z, shades.map(([share]) => [share, shades[1][1]]))];
    });
    return { data, layout: plane.room(theme.recolour(this.panel("first").relief.layout)) };
  }
}
