// Draw the contours and scenes in sight, then the curves, then the rest: few scenes all, so that they can be
// printed; many only when they come near.
const planes = page.planes.map((data) => new Plane(data));
redraws.push(() => Promise.all(planes.map((plane) => plane.draw())));

(async () => {
  const panels = planes.flatMap((plane) => plane.panels.map((panel) => ({ plane, panel })));
  const scenes = panels.map(({ panel }) => panel.scene);
  const few = scenes.length <= MOST_SCENES;
  const come = ({ target, isIntersecting }) => {
    const scene = scenes.find(({ element }) => element === target);
    scene.visible = isIntersecting;
    if (isIntersecting && !live.has(scene)) scene.show();
    if (!isIntersecting) putSomeAway();
  };
  const watch = new IntersectionObserver((entries) => entries.forEach(come), { rootMargin: few ? "800px" : "100px" });
  for (const plane of planes) plane.describe();
  if (webgl) for (const scene of scenes) watch.observe(scene.element);
  for (const { plane, panel } of panels) {
    await pause();
    await plane.drawFlat(panel);
  }
  for (const element of curves) {
    await pause();
    await drawPlot(element);
  }
  for (const scene of webgl && few ? scenes : []) {
    await pause();
    if (!live.has(scene) && !scene.element.closest(".away")) await scene.show();
  }
  await Promise.allSettled([...live].map((scene) => scene.drawing)); // one that came into sight by itself draws still
  document.documentElement.dataset.ready = "true";
})();
