// The animation of the paths on a plane: a slider over its moments, and a play button.
const FRAME = 140; // milliseconds for each snapshot, or as long as it takes to draw

class Player {
  constructor(plane) {
    this.plane = plane;
    this.moments = [...new Set(plane.paths.flatMap((path) => path.at))].sort((a, b) => a - b);
    this.slider = plane.control("time");
    this.button = plane.control("play");
    this.playing = false;
    this.slider.max = this.moments.length - 1;
    this.slider.value = this.moments.length - 1;
    this.slider.addEventListener("input", () => {
      this.stop();
      this.show();
    });
    this.button.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
  }

  get moment() {
    return this.moments[Number(this.slider.value)];
  }

  describe() {
    const { paths } = this.plane;
    const words = paths.length === 1 ? paths[0].told(this.moment) : String(this.moment);
    this.plane.root.querySelector(".player output").textContent = words;
    this.slider.setAttribute("aria-valuetext", words);
  }

  show() {
    this.plane.moment = this.moment;
    return this.plane.draw();
  }

  async play() {
    this.playing = true;
    this.button.textContent = "Pause";
    const last = this.moments.length - 1;
    if (Number(this.slider.value) === last) this.slider.value = 0;
    while (this.playing) {
      await Promise.all([this.show(), new Promise((resolve) => setTimeout(resolve, FRAME))]);
      if (Number(this.slider.value) >= last) break;
      if (this.playing) this.slider.value = Number(this.slider.value) + 1;
    }
    this.stop();
  }

  stop() {
    this.playing = false;
    this.button.textContent = "Play";
  }
}
