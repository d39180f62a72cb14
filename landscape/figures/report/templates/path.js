// Training trajectories and curves on a plane, drawn up to a moment of the animation.
class Path {
  constructor(data) {
    Object.assign(this, data);
  }

  // The index of the last snapshot at or before a moment.
  index(moment) {
    return Math.max(this.at.findLastIndex((at) => at <= moment), 0);
  }

  // Text of a moment: position on the path and distance from the plane.
  told(moment) {
    const index = this.index(moment);
    const [off, away] = [this.residuals[index], this.distances[index]].map((value) => Number(value.toPrecision(3)));
    return `${this.words[index]} of ${this.words.at(-1)}: ${off} off the plane, ${away} from its origin`;
  }

  // On contours: halo, path, start and a moving end.
  flat(moment) {
    const last = this.index(moment);
    return theme.recolour(this.contour).map((trace, number) => {
      if (number === 2) return trace;
      const part = number === 3 ? [last, last + 1] : [0, last + 1];
      return { ...trace, x: this.alpha.slice(...part), y: this.beta.slice(...part) };
    });
  }

  // On a surface: at its height, at most the highest one shown.
  solid(moment, axes, z, scale, lift) {
    const last = this.index(moment) + 1;
    const high = this.alpha.map((alpha, index) => {
      const height = heightAt(axes, z, alpha, this.beta[index]);
      return height === null ? null : Math.min(height, scale.top) + lift * (scale.top - scale.bottom);
    });
    return theme.recolour(this.relief).map((trace) => ({
      ...trace,
      x: this.alpha.slice(0, last),
      y: this.beta.slice(0, last),
      z: high.slice(0, last),
    }));
  }
}
