// 3-D scenes: drawn when they scroll near, released when there are too many, turned by one camera.
const MOST_SCENES = 8; // browsers keep about 16 WebGL contexts, phones 8
const live = new Set(); // scenes that exist, least recently drawn first

const webgl = (() => {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(context);
})();
document.documentElement.classList.toggle("no-webgl", !webgl);
if (!webgl && page.planes.length) document.getElementById("no-webgl").hidden = false;

// Release the scenes out of sight that were drawn first, if there are too many.
function putSomeAway() {
  const away = [...live].filter((scene) => !scene.visible).slice(0, Math.max(live.size - MOST_SCENES, 0));
  for (const scene of away) scene.putAway();
}

class Scene {
  // `figure` returns the current data and layout, or null if there is nothing to draw.
  constructor(element, cameras, figure) {
    Object.assign(this, { element, cameras, figure, visible: false, linked: false });
    this.draw = latest(() => (this.drawing = this.render()));
    cameras.listen(element);
  }

  async render() {
    const figure = live.has(this) ? this.figure() : null;
    if (!figure) return;
    figure.layout.scene.camera = structuredClone(this.cameras.camera);
    const home = { name: "reset", title: "Reset the view", icon: Plotly.Icons.home, click: () => this.cameras.reset() };
    await Plotly.react(this.element, figure.data, figure.layout, config([home, "toImage"], this.element.id));
    this.cameras.scenes.add(this);
    if (!this.linked) this.link();
  }

  link() {
    this.linked = true;
    this.cameras.link(this);
    this.element.on("plotly_webglcontextlost", async () => {
      await this.putAway();
      if (this.visible) this.show();
    });
  }

  async show() {
    live.add(this);
    await this.draw();
    putSomeAway();
  }

  // Release the WebGL context once no drawing needs it.
  async putAway() {
    live.delete(this);
    await this.drawing;
    if (live.has(this)) return; // shown again in the meantime
    this.cameras.scenes.delete(this);
    this.linked = false;
    Plotly.purge(this.element);
  }
}
