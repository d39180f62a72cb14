// One camera for all scenes of a plane: turning one turns all.
class Cameras {
  constructor(home) {
    this.home = home;
    this.camera = home;
    this.scenes = new Set();
  }

  // Scenes also report the moves that this script made; they are counted as echoes and ignored.
  link(scene) {
    scene.echoes = 0;
    const follow = (source) => (change) => {
      const turned = Object.keys(change).some((key) => key.startsWith("scene.camera"));
      if (turned && !scene.echoes) this.look(change["scene.camera"] ?? scene.element.layout.scene.camera, source);
    };
    scene.element.on("plotly_relayouting", follow(scene)); // while it is dragged: the others
    scene.element.on("plotly_relayout", follow(null)); // at the end: all, for the dragged one would glide on a little
  }

  // Set the camera of all scenes except the one being dragged.
  look(camera, dragged = null) {
    this.camera = structuredClone(camera);
    this.dragged = dragged;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      for (const scene of this.scenes) {
        if (scene === this.dragged) continue;
        scene.echoes += 1;
        const done = () => (scene.echoes -= 1);
        Plotly.relayout(scene.element, { "scene.camera": structuredClone(this.camera) }).then(done, done);
      }
    });
  }

  reset() {
    this.look(this.home);
  }

  // Turn by angles around the vertical and up, and scale the distance.
  turn(around, up, zoom = 1) {
    const { x, y, z } = this.camera.eye;
    const distance = Math.hypot(x, y, z) * zoom;
    const azimuth = Math.atan2(y, x) + around;
    const height = Math.min(Math.max(Math.asin(z / Math.hypot(x, y, z)) + up, -1.5), 1.5);
    const flat = distance * Math.cos(height);
    const eye = { x: flat * Math.cos(azimuth), y: flat * Math.sin(azimuth), z: distance * Math.sin(height) };
    this.look({ ...this.camera, eye });
  }

  // Arrow keys turn, plus and minus zoom; the wheel scrolls the page unless Ctrl is held.
  listen(element) {
    const keys = {
      ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1],
      "+": [0, 0, 0.9], "-": [0, 0, 1.1],
    };
    element.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.turn(...keys[event.key]);
    });
    const wheel = (event) => {
      event.stopPropagation(); // Plotly would swallow it even with its own zoom switched off
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.turn(0, 0, Math.exp(Math.min(Math.max(event.deltaY, -100), 100) / 400));
    };
    element.addEventListener("wheel", wheel, { capture: true, passive: false });
  }
}
