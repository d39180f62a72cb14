"""What tests do with a page that shows surfaces (loaded by path: tests are not a package)."""

import numpy as np


def wide(alpha, beta, split):
    """A loss over several decades, with a corner that diverges."""
    far = 1e9 if alpha > 0.9 and beta > 0.45 else 0.0
    return 0.01 * (1 + split) * 10 ** (3 * alpha**2 + 4 * beta**2 + 0.2 * alpha) + far


def panel(index, kind="relief"):
    return f"document.getElementById('plane-0-{index}-{kind}')"


def cameras(page):
    eyes = [page.evaluate(f"{panel(i)}._fullLayout.scene._scene.getCamera().eye") for i in (0, 1)]
    return [[eye["x"], eye["y"], eye["z"]] for eye in eyes]


def wait_for_linked(page, changed_from):
    """Wait until both cameras agree and are not where they were."""
    read = ", ".join(f"{panel(i)}._fullLayout.scene._scene.getCamera().eye" for i in (0, 1))
    page.wait_for_function(
        f"""before => {{
          const [a, b] = [{read}].map(Object.values);
          const far = (p, q) => Math.max(...p.map((value, i) => Math.abs(value - q[i])));
          return far(a, b) < 1e-6 && far(a, before) > 0.01;
        }}""",
        arg=changed_from,
    )
    return cameras(page)


def heights(page, index=0, kind="relief"):
    return np.array(page.evaluate(f"{panel(index, kind)}.data[0].z.map(row => Array.from(row))"), dtype=float)


def choose(page, control, words, *, kind="relief"):
    """Choose an option and wait until a panel shows other heights, or the same on another scale."""
    read = f"JSON.stringify([{panel(0, kind)}.data[0].z, {panel(0, kind)}.data[0].colorscale])"
    before = page.evaluate(read)
    page.locator(f"#plane-0-{control}").get_by_label(words, exact=True).click()
    page.wait_for_function(f"before => {read} !== before", arg=before)


def roles(page, element):
    return page.evaluate(f"{element}.data.map(trace => trace.meta?.role ?? trace.meta?.mark)")
