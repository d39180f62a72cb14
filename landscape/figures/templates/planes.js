// Surfaces: measured grids drawn on the scales that Python chose, in 3-D and as contours, with linked cameras.
const MOST_SCENES = 8; // browsers keep about 16 WebGL contexts, phones 8: scenes out of sight are put away
const live = new Set(); // panels whose 3-D scene exists, least recently drawn first

const webgl = (() => {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(context);
})();
document.documentElement.classList.toggle("no-webgl", !webgl);
if (!webgl && page.planes.length) document.getElementById("no-webgl").hidden = false;

// Unpack base64 of float32 into rows.
function unpack({ bdata, shape }) {
  const bytes = Uint8Array.from(atob(bdata), (character) => character.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
  const [rows, columns] = shape.split(",").map(Number);
  return Array.from({ length: rows }, (_, y) => values.subarray(y * columns, (y + 1) * columns));
}

// As Scale.heights in scale.py: what is off the scale stays off it, but near.
function heights(rows, { log, bottom, top }) {
  const reach = 20 * (top - bottom);
  const floor = log ? bottom : bottom - reach;
  const height = (value) => {
    if (Number.isNaN(value)) return null;
    const raw = log ? (value > 0 ? Math.log10(value) : bottom) : value;
    return Math.min(Math.max(raw, floor), top + reach);
  };
  return rows.map((row) => Array.from(row, height));
}

function best(rows, which) {
  let found = null;
  const sign = which === "highest" ? -1 : 1;
  rows.forEach((row, y) =>
    row.forEach((value, x) => {
      if (which && Number.isFinite(value) && (found === null || sign * value < sign * rows[found[0]][found[1]])) found = [y, x];
    }),
  );
  return found;
}

class Plane {
  constructor(data) {
    Object.assign(this, data);
    this.root = document.getElementById(data.id);
    this.home = data.camera;
    for (const panel of this.panels) {
      panel.plane = this;
      panel.rows = Object.fromEntries(Object.entries(panel.grids).map(([view, grid]) => [view, unpack(grid)]));
      const told = panel.details.map((view) => panel.rows[view]);
      panel.customdata = told[0].map((row, y) => Array.from(row, (_, x) => told.map((rows) => rows[y][x])));
      panel.relief.element = document.getElementById(`${panel.id}-relief`);
      panel.contour.element = document.getElementById(`${panel.id}-contour`);
    }
    this.listen();
    this.choose();
  }

  control(name) {
    return document.getElementById(`${this.id}-${name}`);
  }

  // Read metric and split; keep the height mode where the view has it, else take the view's own; set the limit's range.
  choose(mode) {
    const first = Object.keys(this.views)[0].split("/");
    const metric = chosen(`${this.id}-metric`) ?? first[0];
    const split = chosen(`${this.id}-split`) ?? first[1];
    this.key = `${metric}/${split}`;
    this.view = this.views[this.key] ?? Object.values(this.views)[0];
    this.mode = this.view.modes[mode] ? mode : this.view.mode;
    for (const input of document.getElementsByName(`${this.id}-mode`)) {
      input.disabled = !this.view.modes[input.value];
      input.checked = input.value === this.mode;
    }
    const { scales, automatic } = this.view.modes[this.mode];
    const limit = this.control("limit");
    limit.max = scales.length - 1;
    limit.value = automatic;
    limit.closest(".limit").hidden = scales.length < 2;
  }

  get scale() {
    return this.view.modes[this.mode].scales[Number(this.control("limit").value)];
  }

  describe() {
    const { automatic } = this.view.modes[this.mode];
    const { scale, view } = this;
    const words = scale.limit + (Number(this.control("limit").value) === automatic ? " (automatic)" : "");
    this.root.querySelector(".limit output").textContent = words;
    this.control("limit").setAttribute("aria-valuetext", words);
    this.root.querySelector(".cut").textContent = scale.note;
    const stops = view.colours.map(([share, colour]) => `${colour} ${100 * share}%`);
    const title = `${view.words}${scale.log ? ", log scale" : ""}`;
    const bar = this.root.querySelector(".scale");
    bar.setAttribute("aria-label", `Colour and height scale: ${title}, from ${scale.labels[0]} to ${scale.labels.at(-1)}`);
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

  // Fill a panel's figure with the chosen grid on the chosen scale.
  fill(panel, kind) {
    const { scale, view } = this;
    const figure = look.dress({ data: panel[kind].data, layout: panel[kind].layout });
    const rows = panel.rows[this.key];
    const [main, ...marks] = figure.data;
    const z = heights(rows, scale);
    const levels = { start: scale.start, end: scale.top, size: scale.step };
    const lines = this.control("levels").checked;
    Object.assign(main, { z, customdata: panel.customdata, colorscale: view.colours });
    const extreme = best(rows, view.best);
    const places = [panel.centre, String(extreme) === String(panel.centre) ? null : extreme];
    marks.forEach((mark, index) => {
      const [y, x] = places[index] ?? [];
      const shown = y !== undefined && z[y][x] !== null;
      const ends = kind === "relief" ? 2 : 1; // a pin has two
      mark.x = shown ? Array(ends).fill(panel.axes[0][x]) : [];
      mark.y = shown ? Array(ends).fill(panel.axes[1][y]) : [];
      if (kind === "relief") mark.z = shown ? [z[y][x] + this.lift * (scale.top - scale.bottom), scale.frame[1]] : [];
    });
    if (kind === "contour") {
      Object.assign(main, { zmin: scale.bottom, zmax: scale.top });
      Object.assign(main.contours, levels, { showlines: lines });
    } else {
      Object.assign(main, { cmin: scale.bottom, cmax: scale.top });
      Object.assign(main.contours.z, levels, { show: lines });
      Object.assign(figure.layout.scene.zaxis, {
        title: { text: view.title },
        range: scale.frame,
        tickvals: scale.ticks,
        ticktext: scale.labels,
      });
      figure.layout.scene.camera = this.camera;
    }
    Object.assign(figure.layout, { template: look.template, autosize: true });
    return figure;
  }

  async drawPanel(panel, kind) {
    const { element } = panel[kind];
    const absent = !panel.rows[this.key];
    element.classList.toggle("absent", absent);
    element.dataset.absent = `${this.view.words}: not measured`;
    if (absent) return;
    const figure = this.fill(panel, kind);
    const buttons = kind === "relief" ? ["resetCameraDefault3d", "toImage"] : ["zoom2d", "resetScale2d", "toImage"];
    if (kind === "contour" && coarse) figure.layout.dragmode = false;
    await Plotly.react(element, figure.data, figure.layout, config(buttons, `${panel.id}-${kind}`));
    if (kind === "relief" && !element.linked) this.link(panel);
  }

  // Draw again what is on the page: all contours, and the scenes that exist.
  async draw() {
    this.describe();
    await Promise.all(this.panels.map((panel) => this.drawPanel(panel, "contour")));
    await Promise.all(this.scenes.map((panel) => this.drawPanel(panel, "relief")));
  }

  get scenes() {
    return this.panels.filter((panel) => live.has(panel));
  }

  async show(panel) {
    live.add(panel);
    await this.drawPanel(panel, "relief");
    for (const other of [...live].filter((other) => !other.visible).slice(0, Math.max(live.size - MOST_SCENES, 0))) {
      this.putAway(other);
    }
  }

  putAway(panel) {
    live.delete(panel);
    Plotly.purge(panel.relief.element);
    panel.relief.element.linked = false;
  }

  // One camera for all: what the reader does to one scene, the others take over. Scenes also report what they were told
  // to do; such echoes are known by their count and go no further.
  link(panel) {
    const { element } = panel.relief;
    element.linked = true;
    panel.echoes = 0;
    const follow = (source) => (change) => {
      if (change["scene.camera"] && !panel.echoes) this.look(change["scene.camera"], source);
    };
    element.on("plotly_relayouting", follow(panel)); // while it is dragged: the others
    element.on("plotly_relayout", follow(null)); // at the end: all, for the dragged one would glide on a little
    element.on("plotly_webglcontextlost", () => {
      this.putAway(panel);
      if (panel.visible) this.show(panel);
    });
  }

  // Show all scenes from this camera, but leave the one that is being dragged alone.
  look(camera, dragged) {
    this.camera = structuredClone(camera);
    this.dragged = dragged;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      for (const panel of this.scenes.filter((other) => other !== this.dragged && other.relief.element.linked)) {
        panel.echoes += 1;
        const done = () => (panel.echoes -= 1);
        Plotly.relayout(panel.relief.element, { "scene.camera": structuredClone(this.camera) }).then(done, done);
      }
    });
  }

  // Turn by angles around the vertical and up, and scale the distance.
  turn(around, up, zoom = 1) {
    const { x, y, z } = this.camera.eye;
    const distance = Math.hypot(x, y, z) * zoom;
    const azimuth = Math.atan2(y, x) + around;
    const height = Math.min(Math.max(Math.asin(z / Math.hypot(x, y, z)) + up, -1.5), 1.5);
    const flat = distance * Math.cos(height);
    const eye = { x: flat * Math.cos(azimuth), y: flat * Math.sin(azimuth), z: distance * Math.sin(height) };
    this.look({ ...this.camera, eye }, null);
  }

  listen() {
    for (const name of ["metric", "split"]) this.control(name)?.addEventListener("change", () => this.change(this.mode));
    this.control("mode").addEventListener("change", () => this.change(chosen(`${this.id}-mode`)));
    this.control("limit").addEventListener("input", () => this.draw());
    this.control("levels").addEventListener("change", () => this.draw());
    const views = {
      reset: () => this.home,
      above: () => ({ ...this.home, eye: { x: 0, y: -0.02, z: 2.2 } }),
      side: () => ({ ...this.home, eye: { x: 0, y: -2.2, z: 0.05 } }),
    };
    for (const button of this.root.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => this.look(views[button.dataset.view](), null));
    }
    const keys = {
      ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1], "+": [0, 0, 0.9], "-": [0, 0, 1.1],
    };
    for (const { relief } of this.panels) {
      relief.element.addEventListener("keydown", (event) => {
        if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        this.turn(...keys[event.key]);
      });
      // The wheel scrolls the page, as everywhere; with Ctrl or Cmd it zooms the scene.
      const wheel = (event) => {
        event.stopPropagation(); // Plotly would swallow it even with its own zoom switched off
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.turn(0, 0, Math.exp(Math.min(Math.max(event.deltaY, -100), 100) / 400));
      };
      relief.element.addEventListener("wheel", wheel, { capture: true, passive: false });
    }
  }

  change(mode) {
    this.choose(mode);
    return this.draw();
  }
}

const planes = page.planes.map((data) => new Plane(data));
redraws.push(() => Promise.all(planes.map((plane) => plane.draw())));

// First the contours and scenes in sight, then the curves, then what is left: few scenes all, so that they can be
// printed; many only when they come near.
(async () => {
  const panels = planes.flatMap((plane) => plane.panels);
  const few = panels.length <= MOST_SCENES;
  const come = ({ target, isIntersecting }) => {
    const panel = panels.find(({ relief }) => relief.element === target);
    panel.visible = isIntersecting;
    if (isIntersecting && !live.has(panel)) panel.plane.show(panel);
  };
  const watch = new IntersectionObserver((entries) => entries.forEach(come), { rootMargin: few ? "800px" : "100px" });
  for (const plane of planes) plane.describe();
  for (const panel of panels) {
    if (webgl) watch.observe(panel.relief.element);
    await pause();
    await panel.plane.drawPanel(panel, "contour");
  }
  for (const element of curves) {
    await pause();
    await drawPlot(element);
  }
  for (const panel of webgl && few ? panels : []) {
    await pause();
    if (!live.has(panel)) await panel.plane.show(panel);
  }
  document.documentElement.dataset.ready = "true";
})();
