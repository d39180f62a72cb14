// Measured grids: unpacked, turned into heights on a scale that Python chose, searched and interpolated.

// Unpack base64 of float32 into rows.
function unpack({ bdata, shape }) {
  const bytes = Uint8Array.from(atob(bdata), (character) => character.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
  const [rows, columns] = shape.split(",").map(Number);
  return Array.from({ length: rows }, (_, y) => values.subarray(y * columns, (y + 1) * columns));
}

// As Scale.heights in scale.py: values off the scale are clipped to heights just beyond it.
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

function holed(z) {
  return z.some((row) => row.includes(null));
}

// Return the grid index [y, x] of the lowest or highest value; null if there is none.
function best(rows, which) {
  let found = null;
  const sign = which === "highest" ? -1 : 1;
  rows.forEach((row, y) =>
    row.forEach((value, x) => {
      if (!which || !Number.isFinite(value)) return;
      if (found === null || sign * value < sign * rows[found[0]][found[1]]) found = [y, x];
    }),
  );
  return found;
}

// As height_at in grids.py: linear between the surrounding grid points; null off the grid.
function heightAt([xs, ys], z, x, y) {
  const [column, u] = between(xs, x);
  const [row, v] = between(ys, y);
  if (column < 0 || row < 0) return null;
  const along = (line) => (u ? (1 - u) * line[column] + u * line[column + 1] : line[column]);
  const corners = [z[row], v ? z[row + 1] : z[row]].flatMap((line) => [line[column], u ? line[column + 1] : line[column]]);
  if (corners.includes(null)) return null;
  return v ? (1 - v) * along(z[row]) + v * along(z[row + 1]) : along(z[row]);
}

function between(axis, place) {
  if (!(axis[0] <= place && place <= axis.at(-1))) return [-1, 0];
  const index = axis.findLastIndex((entry) => entry <= place);
  return index === axis.length - 1 ? [index, 0] : [index, (place - axis[index]) / (axis[index + 1] - axis[index])];
}
