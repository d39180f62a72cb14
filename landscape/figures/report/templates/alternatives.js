// Switches between results of one kind: the others keep their place and their drawings, out of sight.
for (const group of document.querySelectorAll(".alternatives")) {
  const choice = group.querySelector("fieldset.choice");
  const show = () => {
    for (const part of group.querySelectorAll(":scope > .alternative")) {
      const away = part.dataset.block !== chosen(choice.id);
      part.classList.toggle("away", away);
      for (const note of document.querySelectorAll(`[data-with="${part.dataset.block}"]`)) note.hidden = away;
      for (const plot of away ? [] : part.querySelectorAll(".js-plotly-plot")) Plotly.Plots.resize(plot);
    }
  };
  choice.addEventListener("change", show);
  show(); // browsers restore what was chosen before a reload
}
