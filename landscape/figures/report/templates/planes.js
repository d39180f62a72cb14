const CHANCE = "rgb(230,40,70)"; // of the line at chance level, in light and dark alike

// Surfaces of a plane: measured grids on the scales that Python chose, in 3-D and as contours.
class Plane {
  constructor(data) {
    Object.assign(this, data);
    this.root = document.getElementById(data.id);
    this.cameras = new Cameras(this.fit(data.camera));
    this.paths = data.paths.map((path) => new Path(path));
    this.moment = Infinity;
    for (const panel of this.panels) {
      panel.rows = Object.fromEntries(Object.entries(panel.grids).map(([view, grid]) => [view, unpack(grid)]));
      const told = panel.details.map((view) => panel.rows[view]);
      panel.customdata = told[0].map((row, y) => Array.from(row, (_, x) => told.map((rows) => rows[y][x])));
      panel.flat = document.getElementById(`${panel.id}-contour`);
      panel.scene = new Scene(document.getElementById(`${panel.id}-relief`), this.cameras, () => this.relief(panel));
    }
    this.overlay = this.control("overlay") ? new Overlay(this) : null;
    this.player = this.paths.length ? new Player(this) : null;
    this.draw = latest(() => this.redraw());
    this.asked = this.quantity;
    this.listen();
    this.choose();
  }

  // Camera distance at which narrow panels show their whole scene.
  fit(camera) {
    const { clientWidth, clientHeight } = document.getElementById(`${this.panels[0].id}-relief`);
    const share = clientWidth < 420 ? 1.5 : 1.3; // labels take more of a small scene
    const away = Math.min(Math.max((share * clientHeight) / (clientWidth || 1), 1), 1.4);
    const eye = Object.fromEntries(Object.entries(camera.eye).map(([axis, value]) => [axis, value * away]));
    return { ...camera, eye };
  }

  control(name) {
    return document.getElementById(`${this.id}-${name}`);
  }

  chosen(name) {
    return chosen(`${this.id}-${name}`);
  }

  // Read quantity and split. A quantity that this split lacks (a log of a gap) is replaced by the plain one, and restored
  // back with the next split that has it.
  choose() {
    const split = this.chosen("split") ?? Object.keys(this.views)[0].split("/").at(-1);
    const found = [this.asked, this.plain(this.asked), ...Object.keys(this.views).map((key) => key.replace(/\/[^/]*$/, ""))];
    this.quantity = found.find((quantity) => this.views[`${quantity}/${split}`]);
    this.view = this.views[`${this.quantity}/${split}`];
    for (const input of document.getElementsByName(`${this.id}-quantity`)) {
      input.disabled = !this.views[`${input.value}/${split}`];
      input.checked = input.value === this.quantity;
    }
    const limit = this.control("limit");
    limit.max = this.view.scales.length - 1;
    limit.value = this.view.automatic;
    limit.closest(".limit").hidden = this.view.scales.length < 2;
    for (const input of document.getElementsByName(`${this.id}-steps`)) input.disabled = !this.view.steps;
  }

  // The quantity without its logarithm.
  plain(quantity) {
    const key = Object.keys(this.views).find((one) => one.startsWith(`${quantity}/`));
    return this.views[key].grid.replace(/\/[^/]*$/, "");
  }

  get automatic() {
    return Number(this.control("limit").value) === this.view.automatic;
  }

  get scale() {
    return this.view.scales[Number(this.control("limit").value)];
  }

  // View of the contours: levels in log or even steps, clipped as near to the surfaces' limit as possible.
  get flat() {
    const view = this.views[this.view.steps && this.chosen("steps") === "log" ? this.view.steps : this.view.even];
    if (view === this.view) return { view, scale: this.scale };
    if (this.automatic) return { view, scale: view.scales[view.automatic] };
    const apart = (scale) => Math.abs(scale.limit - this.scale.limit);
    return { view, scale: view.scales.reduce((one, other) => (apart(other) < apart(one) ? other : one)) };
  }

  describe() {
    const { scale, view } = this;
    const words = scale.words + (this.automatic ? " (automatic)" : "");
    this.root.querySelector(".limit output").textContent = words;
    this.control("limit").setAttribute("aria-valuetext", words);
    this.root.querySelector(".cut").textContent = scale.note;
    this.bar("relief", view, scale);
    this.bar("contour", this.flat.view, this.flat.scale);
    this.player?.describe();
  }

  // Fill the colour bar above 3-D scenes or contours.
  bar(kind, view, scale) {
    const bar = this.root.querySelector(`.${kind}-scale`);
    const stops = view.colours.map(([share, colour]) => `${colour} ${100 * share}%`);
    const title = `${view.words}${scale.log ? ", log scale" : ""}`;
    bar.setAttribute("aria-label", `Colour scale: ${title}, from ${scale.labels[0]} to ${scale.labels.at(-1)}`);
    bar.querySelector(".scale-title").textContent = title;
    bar.querySelector(".scale-bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    bar.querySelector(".scale-ticks").replaceChildren(
      ...scale.ticks.map((tick, index) => {
        const label = document.createElement("span");
        label.textContent = scale.labels[index];
        label.style.left = `${(100 * (tick - scale.bottom)) / (scale.top - scale.bottom)}%`;
        return label;
      }),
    );
  }

  // Position of a mark: the best point of the grid shown, or the one from Python; null if it is hidden.
  place(panel, mark, view, z) {
    let [x, y] = mark.meta.at;
    if (mark.meta.role === "best") {
      const found = best(panel.rows[view.grid], view.best);
      if (!found || String(found) === String(panel.centre)) return null;
      [x, y] = [panel.axes[0][found[1]], panel.axes[1][found[0]]];
    }
    const height = heightAt(panel.axes, z, x, y);
    return height === null ? null : [x, y, height];
  }

  // The 3-D figure of a panel in the state of the controls.
  relief(panel) {
    const { scale, view } = this;
    if (!panel.rows[view.grid]) return null;
    const { data, layout } = theme.recolour({ data: panel.relief.data, layout: panel.relief.layout });
    const z = heights(panel.rows[view.grid], scale);
    const [main, ...marks] = data;
    this.surface(main, panel, z, view.colours);
    const lift = this.lift * (scale.top - scale.bottom);
    for (const mark of marks) {
      const place = this.place(panel, mark, view, z);
      mark.x = place ? [place[0], place[0]] : [];
      mark.y = place ? [place[1], place[1]] : [];
      mark.z = place ? [place[2] + lift, scale.frame[1]] : []; // a pin up to the ceiling
    }
    const paths = this.pathsOn(panel).flatMap((path) => path.solid(this.moment, panel.axes, z, scale, this.lift));
    const lines = [...this.lines(main, panel, z), ...this.floor(panel, z, view.colours), ...this.guess(panel, z, view, scale, true)];
    return { data: [main, ...lines, ...marks, ...paths], layout: this.room(layout) };
  }

  // The layout of a scene, with the height axis of the scale.
  room(layout) {
    const { frame, ticks, labels } = this.scale;
    const axis = { title: { text: this.view.title }, range: frame, tickvals: ticks, ticktext: labels };
    Object.assign(layout.scene.zaxis, axis);
    return Object.assign(layout, { template: theme.template, autosize: true });
  }

  // Fill a surface's trace: heights, colours, contour lines or wires.
  surface(main, panel, z, colours) {
    const { scale } = this;
    const wires = this.chosen("style") === "wireframe";
    Object.assign(main, { z, customdata: panel.customdata, colorscale: colours, cmin: scale.bottom, cmax: scale.top });
    main.hidesurface = wires;
    const whole = !holed(z);
    const show = whole && this.control("levels").checked;
    main.contours = {
      x: wires && whole ? panel.wires.x : { highlight: false },
      y: wires && whole ? panel.wires.y : { highlight: false },
      z: { ...main.contours.z, start: scale.start, end: scale.top, size: scale.step, show },
    };
    if (wires) main.contours.z.color = theme.template.layout.font.color;
  }

  // Contour lines and wires of a surface with points missing, such as an unfinished one. Plotly's own stretch
  // beyond all bounds beside the holes: without a GPU, every frame takes seconds.
  lines(main, panel, z) {
    if (!holed(z)) return [];
    const { colorscale, cmin, cmax } = main;
    const still = { type: "scatter3d", mode: "lines", hoverinfo: "skip", showlegend: false, meta: { role: "lines" } };
    const drawn = [];
    if (this.control("levels").checked) {
      const { x, y, level } = isolines(panel.axes, z, levelsOf(this.scale));
      const lift = main.hidesurface ? 0 : this.lift * (cmax - cmin); // or the surface would cut into them
      drawn.push({ ...still, x, y, z: level.map((z) => z + lift), line: { color: main.contours.z.color, width: 2 } });
    }
    if (main.hidesurface) {
      const wires = gridlines(panel.axes, z);
      drawn.push({ ...still, ...wires, line: { color: wires.z, colorscale, cmin, cmax, width: 2, showscale: false } });
    }
    return drawn;
  }

  // The contour lines on the floor, in the surface's colours.
  floor(panel, z, colours) {
    if (!this.control("floor").checked) return [];
    const { scale } = this;
    const lines = isolines(panel.axes, z, levelsOf(scale));
    const { frame, bottom, top } = scale;
    const line = { color: lines.level, colorscale: colours, cmin: bottom, cmax: top, width: 2.5, showscale: false };
    const z0 = frame[0] + 0.004 * (frame[1] - frame[0]); // a hair above the floor, which would cut into them
    const still = { hoverinfo: "skip", showlegend: false, meta: { role: "floor" } };
    return [{ type: "scatter3d", mode: "lines", x: lines.x, y: lines.y, z: lines.x.map(() => z0), line, ...still }];
  }

  // The line at the level of a uniform guess, on a surface or on contours.
  guess(panel, z, view, scale, solid) {
    const [metric, split] = view.grid.split("/");
    const value = split === "gap" ? undefined : this.chance[metric];
    if (value === undefined || !this.control("chance").checked) return [];
    const level = scale.log ? Math.log10(value) : value;
    if (level <= scale.bottom || level >= scale.top) return [];
    const { x, y } = isolines(panel.axes, z, [level]);
    const still = { mode: "lines", hoverinfo: "skip", showlegend: false, meta: { role: "chance" } };
    if (!solid) return [{ ...still, type: "scatter", x, y, line: { color: CHANCE, width: 2.5 } }];
    const height = level + 0.5 * this.lift * (scale.top - scale.bottom); // or the surface would cut into it
    return [{ ...still, type: "scatter3d", x, y, z: x.map(() => height), line: { color: CHANCE, width: 4 } }];
  }

  pathsOn(panel) {
    return this.paths.filter((path) => path.panels.includes(this.panels.indexOf(panel)));
  }

  // The contours of a panel in the state of the controls.
  contours(panel) {
    const { view, scale } = this.flat;
    const { data, layout } = theme.recolour({ data: panel.contour.data, layout: panel.contour.layout });
    const z = heights(panel.rows[view.grid], scale);
    const [main, ...marks] = data;
    Object.assign(main, { z, customdata: panel.customdata, colorscale: view.colours, zmin: scale.bottom, zmax: scale.top });
    const showlines = this.control("lines").checked;
    Object.assign(main.contours, { start: scale.start, end: scale.top, size: scale.step, showlines });
    for (const mark of marks) {
      const place = this.place(panel, mark, view, z);
      mark.x = place ? [place[0]] : [];
      mark.y = place ? [place[1]] : [];
    }
    const measured = this.control("measured")?.checked && panel.measured ? [this.spots(panel.measured)] : [];
    const paths = this.pathsOn(panel).flatMap((path) => path.flat(this.moment));
    Object.assign(layout, { template: theme.template, autosize: true });
    if (coarse) layout.dragmode = false;
    return { data: [main, ...this.guess(panel, z, view, scale, false), ...measured, ...paths, ...marks], layout };
  }

  // The points of an estimated surface that were measured on all examples.
  spots([x, y]) {
    const marker = { size: 3, color: "rgb(255,255,255)", line: { color: "rgb(26,29,33)", width: 0.5 } };
    const still = { hoverinfo: "skip", showlegend: false, meta: { role: "measured" } };
    return { type: "scatter", mode: "markers", x, y, marker, ...still };
  }

  async drawFlat(panel) {
    if (this.absent(panel, panel.flat, this.flat.view)) return;
    const { data, layout } = this.contours(panel);
    await Plotly.react(panel.flat, data, layout, config(["zoom2d", "resetScale2d", "toImage"], panel.flat.id));
  }

  // Replace a panel that lacks the quantity by a note.
  absent(panel, element, view) {
    const absent = !panel.rows[view.grid];
    element.classList.toggle("absent", absent);
    element.dataset.absent = `${view.words}: not measured`;
    return absent;
  }

  // Redraw all contours, and the scenes that exist.
  async redraw() {
    this.describe();
    for (const panel of this.panels) this.absent(panel, panel.scene.element, this.view);
    await Promise.all([this.drawScenes(), ...this.panels.map((panel) => this.drawFlat(panel))]);
  }

  drawScenes() {
    return Promise.all([...this.cameras.scenes].map((scene) => scene.draw()));
  }

  listen() {
    const change = (name, then) => this.control(name)?.addEventListener("change", then);
    change("quantity", () => {
      this.asked = this.chosen("quantity");
      this.choose();
      this.draw();
    });
    change("split", () => {
      this.choose();
      this.draw();
    });
    this.control("limit").addEventListener("input", () => this.draw());
    for (const name of ["style", "levels", "floor"]) change(name, () => this.drawScenes());
    for (const name of ["steps", "lines", "measured", "chance"]) change(name, () => this.draw());
    change("layout", () => this.overlay.toggle(this.chosen("layout") === "overlay"));
    const { cameras } = this;
    const views = {
      reset: () => cameras.home,
      above: () => ({ ...cameras.home, eye: { x: 0, y: -0.02, z: 2.2 } }),
      side: () => ({ ...cameras.home, eye: { x: 0, y: -2.2, z: 0.05 } }),
    };
    for (const button of this.root.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => cameras.look(views[button.dataset.view]()));
    }
  }
}
