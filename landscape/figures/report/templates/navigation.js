// Mark the section that is read in the bar at the top, and keep its link in sight where the bar is scrolled.
const links = [...document.querySelectorAll(".topbar nav a")];
let waiting = false;

function markSection() {
  waiting = false;
  const line = document.querySelector(".topbar").offsetHeight + innerHeight / 4;
  const end = scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  const begun = links.filter((link) => document.querySelector(link.hash).getBoundingClientRect().top <= line);
  const current = end ? links.at(-1) : scrollY < 8 ? links[0] : (begun.at(-1) ?? links[0]);
  for (const link of links) {
    if (link === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const bar = current.parentElement;
  if (current.offsetLeft < bar.scrollLeft || current.offsetLeft + current.offsetWidth > bar.scrollLeft + bar.clientWidth) {
    bar.scrollLeft = current.offsetLeft - 12;
  }
}

addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(markSection);
  waiting = true;
}, { passive: true });
addEventListener("resize", markSection);
markSection();
