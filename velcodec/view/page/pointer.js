// Pointers and keys in the drawings of a model.

import { clamp } from "./state.js";

/** Let pointers move, zoom, mark and draw lines in the drawings of a model's view. */
export function listenPointer(view) {
  const host = view.element.panes;
  const paneOf = (event) => [...view.panes.values()].find((pane) => pane.canvas === event.target);
  const pointers = new Map();
  host.addEventListener("wheel", (event) => {
    const pane = paneOf(event);
    if (!pane?.view) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    view.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * lines * 0.002))), placeIn(view, pane, event));
  }, { passive: false });
  host.addEventListener("dblclick", (event) => paneOf(event) && (view.own.volume || view.state.tool === "pan") && view.zoom(0.5, placeIn(view, paneOf(event), event)));
  host.addEventListener("pointerdown", (event) => {
    const pane = paneOf(event);
    if (!pane?.view || event.button !== 0) return;
    pane.canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const at = pane.pointOf(event);
    if (view.own.volume) {
      if (!event.shiftKey && pointers.size === 1) movePoint(view, pane, at);
      return;
    }
    if (view.state.tool === "well") view.setProfile("well", [at.x]);
    if (view.state.tool === "line") view.start = at;
  });
  host.addEventListener("pointermove", (event) => {
    const pane = paneOf(event);
    if (!pane?.view) return;
    const at = pane.pointOf(event), before = pointers.get(event.pointerId);
    view.mark = at.inside ? { x: at.x, z: at.z, axis: pane.canvas.dataset.pane } : null;
    if (view.own.volume) {
      if (before && (event.shiftKey || pointers.size > 1)) drag(view, pointers, event, before, pane);
      else if (before) movePoint(view, pane, at);
      if (before) pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      view.update("pointer");
      return;
    }
    if (before && view.state.tool === "well") view.setProfile("well", [at.x]);
    else if (before && view.state.tool === "line" && view.start) {
      view.setProfile("line", [view.start.x, view.start.z, at.x, at.z]);
    } else if (before) drag(view, pointers, event, before, pane);
    if (before) pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    view.update("pointer");
  });
  const end = (event) => pointers.delete(event.pointerId) && view.keep({ well: view.state.well, line: view.state.line });
  host.addEventListener("pointerup", end);
  host.addEventListener("pointercancel", end);
  host.addEventListener("pointerleave", () => {
    view.mark = null;
    view.update("pointer");
  });
}

/** The place under a pointer in the axes of the model: of a volume, those of the section. */
function placeIn(view, pane, { clientX, clientY }) {
  const { x, z } = pane.pointOf({ clientX, clientY });
  return view.own.volume ? view.sections.placeOf(pane.canvas.dataset.pane, { x, z }) : { x, z };
}

/** Let the sections of a volume go through a place in one of them. */
function movePoint(view, pane, at) {
  view.sections.movePoint(view.sections.placeOf(pane.canvas.dataset.pane, at));
}

/** One pointer moves the ground; two also zoom. */
function drag(view, pointers, event, before, pane) {
  const seen = view.view;
  const now = { x: event.clientX, y: event.clientY };
  if (pointers.size === 2) {
    const [, fixed] = [...pointers.entries()].find(([id]) => id !== event.pointerId);
    const apart = (point) => Math.hypot(point.x - fixed.x, point.y - fixed.y);
    const about = placeIn(view, pane, { clientX: (now.x + fixed.x) / 2, clientY: (now.y + fixed.y) / 2 });
    if (apart(now) > 5) view.zoom(apart(before) / apart(now), about);
    return;
  }
  const by = { x: (before.x - now.x) * seen.mpp, z: (before.y - now.y) * seen.mpp };
  if (view.own.volume) view.move(view.sections.moved(pane.canvas.dataset.pane, by));
  else view.move({ x: seen.x + by.x, z: seen.z + by.z });
}

/** Keys of the model's page; whether one was used. */
export function pressKey(view, event) {
  const { view: seen, state } = view;
  if (!seen || !view.main) return false;
  const area = view.main.area, part = event.shiftKey ? 0.02 : 0.12;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (state && view.own.volume && (steps[event.key] || event.key.startsWith("Page"))) {
    const many = event.shiftKey ? 10 : 1, [across, down] = steps[event.key] ?? [0, 0];
    view.element.readout.setAttribute("aria-live", "polite");
    view.mark = null;
    view.sections.step(many * across, many * down, steps[event.key] ? 0 : event.key === "PageDown" ? many : -many);
    return true;
  }
  if (steps[event.key]) {
    const dx = steps[event.key][0] * part * (area.x1 - area.x0), dz = steps[event.key][1] * part * (area.z1 - area.z0);
    if (event.shiftKey) {
      const from = view.mark ?? seen;
      view.mark = { x: clamp(from.x + dx, area.x0, area.x1), z: clamp(from.z + dz, area.z0, area.z1) };
      if (state.tool === "well") view.setProfile("well", [view.mark.x]);
      view.element.readout.setAttribute("aria-live", "polite");
      view.update("pointer");
    } else view.move({ x: seen.x + dx, z: seen.z + dz });
    return true;
  }
  const actions = {
    "+": () => view.zoom(1 / 1.5), "=": () => view.zoom(1 / 1.5), "-": () => view.zoom(1.5), "0": () => view.whole(),
    n: () => view.step(1), p: () => view.step(-1),
    g: () => view.go({ show: state.show === "gradient" ? "velocity" : "gradient" }),
    c: () => view.go({ contours: !state.contours }), s: () => view.go({ dots: !state.dots }),
    w: () => view.go({ tool: state.tool === "well" ? "pan" : "well" }),
    l: () => view.go({ tool: state.tool === "line" ? "pan" : "line" }),
  };
  if (!actions[event.key]) return false;
  actions[event.key]();
  return true;
}
