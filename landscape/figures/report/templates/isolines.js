// Lines of equal height of a grid, for the floor of a 3-D scene (Plotly draws them only together with those on the
// surface) and for surfaces with points missing. Each cell is cut into two triangles, in which a level is one straight
// piece, so that no case is ambiguous.
function isolines([xs, ys], z, levels) {
  const lines = { x: [], y: [], level: [] };
  for (let row = 0; row + 1 < ys.length; row += 1) {
    for (let column = 0; column + 1 < xs.length; column += 1) {
      const corner = (r, c) => [xs[c], ys[r], z[r][c]];
      const [a, b] = [corner(row, column), corner(row, column + 1)];
      const [c, d] = [corner(row + 1, column), corner(row + 1, column + 1)];
      cut([a, b, d], levels, lines);
      cut([a, d, c], levels, lines);
    }
  }
  return lines;
}

function cut(triangle, levels, lines) {
  const values = triangle.map((corner) => corner[2]);
  if (values.includes(null)) return;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  for (const level of levels) {
    if (level <= low || level > high) continue;
    for (let side = 0; side < 3; side += 1) {
      const [from, to] = [triangle[side], triangle[(side + 1) % 3]];
      if (from[2] < level === to[2] < level) continue;
      const share = (level - from[2]) / (to[2] - from[2]);
      lines.x.push(from[0] + share * (to[0] - from[0]));
      lines.y.push(from[1] + share * (to[1] - from[1]));
      lines.level.push(level);
    }
    for (const parts of [lines.x, lines.y]) parts.push(null); // the pen is lifted
    lines.level.push(level);
  }
}

// The lines of a grid itself, along both axes, broken where points are missing.
function gridlines([xs, ys], z) {
  const lines = { x: [], y: [], z: [] };
  const add = (x, y, height) => {
    lines.x.push(height === null ? null : x);
    lines.y.push(height === null ? null : y);
    lines.z.push(height);
  };
  ys.forEach((y, row) => [...xs.map((x, column) => [x, y, z[row][column]]), [0, 0, null]].forEach((at) => add(...at)));
  xs.forEach((x, column) => [...ys.map((y, row) => [x, y, z[row][column]]), [0, 0, null]].forEach((at) => add(...at)));
  return lines;
}

function levelsOf({ start, top, step }) {
  return Array.from({ length: Math.floor((top - start) / step + 1e-9) + 1 }, (_, index) => start + index * step);
}
