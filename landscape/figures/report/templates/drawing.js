"use strict";
// Plotly settings of all figures: no server, images fit for print, one drawing at a time.
const coarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls the page
const config = (buttons, name) => ({
  responsive: true,
  displaylogo: false,
  scrollZoom: false,
  displayModeBar: coarse ? false : "hover",
  modeBarButtons: [buttons],
  showTips: false,
  toImageButtonOptions: { format: "png", scale: 3, filename: name },
});

// Return a function that draws now or, if it is drawing, once more afterwards: sliders move faster than figures.
function latest(draw) {
  let running = null;
  let again = false;
  const run = async () => {
    do {
      again = false;
      await draw();
    } while (again);
  };
  return () => {
    again = true;
    running ??= run().finally(() => (running = null));
    return running;
  };
}
