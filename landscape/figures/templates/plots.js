// Curves: figures finished in Python, of which a control chooses a variant and the legend hides series.
const hidden = new Set(); // series that the reader switched off

function drawPlot(element) {
  const plot = page.plots[element.dataset.plot];
  const variant = plot.variants[chosen(plot.control)] ?? Object.values(plot.variants)[0];
  const figure = look.dress(variant);
  for (const trace of figure.data) trace.visible = !hidden.has(trace.meta?.series);
  const layout = { ...figure.layout, template: look.template, uirevision: chosen(plot.control) ?? "", autosize: true };
  if (coarse) layout.dragmode = false; // a finger scrolls the page
  return Plotly.react(element, figure.data, layout, config(["zoom2d", "resetScale2d", "toImage"], plot.id));
}

const curves = [...document.querySelectorAll("[data-plot]")];
const drawPlots = () => Promise.all(curves.map(drawPlot));
redraws.push(drawPlots);

for (const element of curves) {
  const control = document.getElementById(page.plots[element.dataset.plot].control);
  control?.addEventListener("change", () => drawPlot(element));
}
for (const button of document.querySelectorAll(".series")) {
  button.addEventListener("click", () => {
    const series = Number(button.dataset.series);
    const shown = hidden.delete(series) || !hidden.add(series);
    for (const twin of document.querySelectorAll(`.series[data-series="${series}"]`)) twin.ariaPressed = String(shown);
    drawPlots();
  });
}
