// Curves: figures made in Python; controls choose a variant, the legend hides series.
const hidden = new Set(); // series that the reader switched off

function drawPlot(element) {
  const plot = page.plots[element.dataset.plot];
  const key = plot.controls.map(chosen).join("|");
  const figure = theme.recolour(plot.variants[key] ?? Object.values(plot.variants)[0]);
  for (const trace of figure.data) trace.visible = !hidden.has(trace.meta?.series);
  const layout = { ...figure.layout, template: theme.template, uirevision: key, autosize: true };
  if (coarse) layout.dragmode = false;
  const settings = config(["zoom2d", "resetScale2d", "toImage"], plot.id);
  return Plotly.react(element, { data: figure.data, layout, config: settings, frames: figure.frames ?? [] });
}

const curves = [...document.querySelectorAll("[data-plot]")];
const drawPlots = () => Promise.all(curves.map(drawPlot));
redraws.push(drawPlots);

// Some legend entries show only with one choice of a control.
function showLegend() {
  for (const entry of document.querySelectorAll("[data-control]")) {
    entry.hidden = chosen(entry.dataset.control) !== entry.dataset.value;
  }
}

showLegend();
for (const element of curves) {
  for (const control of page.plots[element.dataset.plot].controls) {
    document.getElementById(control)?.addEventListener("change", () => {
      showLegend();
      drawPlot(element);
    });
  }
}
for (const button of document.querySelectorAll(".series")) {
  button.addEventListener("click", () => {
    const series = Number(button.dataset.series);
    const shown = hidden.delete(series) || !hidden.add(series);
    for (const twin of document.querySelectorAll(`.series[data-series="${series}"]`)) twin.ariaPressed = String(shown);
    drawPlots();
  });
}
