// A volume: three sections through one point, which a drag in one of them moves in the others.

import { shown } from "./colours.js";
import { Pane, areaOf, wholeScale } from "./pane.js";
import { clamp } from "./state.js";

const ACROSS = { y: "x", x: "y", z: "x" }, DOWN = { y: "z", x: "z", z: "y" }; // of the section through each
const AXES = ["x", "y", "z"];
const LEAST_SHARE = 0.25; // of the drawings' width or height, for a section that is narrow or flat

export class Sections {
  constructor(view) {
    this.view = view;
    this.loose = new Set(); // axes along which the point is moving
    const { point } = view.element;
    this.sliders = Object.fromEntries(AXES.map((axis) => {
      const label = document.createElement("label"), name = document.createElement("span");
      const slider = document.createElement("input"), output = document.createElement("output");
      label.className = "slider";
      name.textContent = axis === "z" ? "depth" : axis; // with its datum for those who hear it
      slider.type = "range";
      slider.id = `at-${axis}`;
      slider.addEventListener("input", () => this.movePoint({ [axis]: +slider.value }));
      label.append(name, slider, output);
      point.append(label);
      return [axis, { slider, output }];
    }));
  }

  /** What an axis is called: z is depth, or depth below a datum. */
  called(axis) {
    return axis === "z" ? this.view.own.z_name : axis;
  }

  /** The point through which the sections go, in metres. */
  get point() {
    const { own: { volume }, state: { point } } = this.view;
    return Object.fromEntries(AXES.map((axis, k) => {
      const [low, high] = this.ends(axis), { origin, spacing, samples } = volume[axis];
      return [axis, point.length === 3 ? clamp(point[k], low, high) : origin + Math.floor(samples / 2) * spacing];
    }));
  }

  /** Where a volume begins and ends along an axis, in metres. */
  ends(axis) {
    const { origin, spacing, samples } = this.view.own.volume[axis];
    return [origin - spacing / 2, origin + (samples - 0.5) * spacing];
  }

  /** The middle of the volume. */
  get middle() {
    return Object.fromEntries(AXES.map((axis) => [axis, (this.ends(axis)[0] + this.ends(axis)[1]) / 2]));
  }

  /** The drawings by the axis that each section goes across. */
  specs() {
    const { view, point } = this, { state, own, source } = view, { archive } = state;
    return Object.keys(ACROSS).map((axis) => {
      const across = own.volume[ACROSS[axis]], down = own.volume[DOWN[axis]], { origin, spacing, samples } = own.volume[axis];
      const extent = [...this.ends(ACROSS[axis]), ...this.ends(DOWN[axis])];
      const drawn = ["original", "error"].includes(state.show) ? state.show : "field";
      const layer = drawn === "field" && this.loose.has(axis) ? "samples" : drawn; // computed between them when it rests
      const at = clamp((point[axis] - origin) / spacing + 0.5, 0, samples);
      return [axis, {
        id: `${archive} ${own.number} ${axis} ${layer} ${at}`, series: `${archive} ${own.number} ${axis} ${drawn}`, keep: true,
        title: `${drawn === "field" ? "" : `${drawn}, `}${this.called(axis)} ${shown(point[axis], 0.1)} m`, extent,
        ground: { extent, nz: down.samples, nx: across.samples, spacing: [across.spacing, down.spacing] },
        axes: { across: this.called(ACROSS[axis]), down: this.called(DOWN[axis]) },
        load: (window) => source.field(archive, own.number, layer, { ...window, section: axis, at }),
      }];
    });
  }

  /** Make the drawings. */
  arrange() {
    const { view } = this;
    for (const [axis, spec] of this.specs()) {
      if (!view.panes.has(axis)) view.panes.set(axis, new Pane(view.element.panes, axis, (_, what) => view.update(what), view.source.pace));
      view.panes.get(axis).show(spec);
    }
    view.element.panes.append(view.element.point); // the last one
    this.setSliders();
    view.place();
  }

  setSliders() {
    const { point, view: { own } } = this;
    for (const axis of AXES) {
      const { slider, output } = this.sliders[axis], { origin, spacing, samples } = own.volume[axis];
      Object.assign(slider, { min: origin, max: origin + (samples - 1) * spacing, step: spacing, value: point[axis] });
      slider.ariaLabel = this.called(axis);
      output.textContent = `${shown(point[axis], 0.1)} m`;
      slider.setAttribute("aria-valuetext", output.textContent);
    }
  }

  /** Stand the sections so that those that share an axis share their place along it. */
  place(host) {
    const share = (one, other) => {
      const [a, b] = [one, other].map((axis) => this.ends(axis)[1] - this.ends(axis)[0]);
      return clamp(a / (a + b), LEAST_SHARE, 1 - LEAST_SHARE);
    };
    const wide = share("x", "y"), tall = share("z", "y");
    host.style.gridTemplateColumns = `minmax(0, ${wide}fr) minmax(0, ${1 - wide}fr)`;
    host.style.gridTemplateRows = `minmax(0, ${tall}fr) minmax(0, ${1 - tall}fr)`;
  }

  /** The view that is wished for, as far as it is within the volume: { x, y, z, mpp }. */
  settle(wish, closest) {
    const panes = [...this.view.panes];
    const whole = Math.max(...panes.map(([, pane]) => wholeScale(pane.width, pane.height, pane.spec.extent)));
    const mpp = clamp(wish.mpp, closest, whole), half = {};
    for (const [axis, pane] of panes) {
      const { width, height } = areaOf(pane.width, pane.height, this.viewOf(axis, { ...wish, mpp }), pane.spec.extent);
      for (const [each, pixels] of [[ACROSS[axis], width], [DOWN[axis], height]]) half[each] = Math.min(half[each] ?? Infinity, (pixels * mpp) / 2);
    }
    const within = (axis) => clamp(wish[axis], this.ends(axis)[0] + half[axis], this.ends(axis)[1] - half[axis]);
    return { x: within("x"), y: within("y"), z: within("z"), mpp, whole: mpp === whole };
  }

  /** The view of a drawing, and the point in it. */
  viewOf(axis, { mpp, ...middle }) {
    return { x: middle[ACROSS[axis]], z: middle[DOWN[axis]], mpp };
  }

  crossOf(axis) {
    return this.viewOf(axis, this.point);
  }

  /** A place in a drawing as a point of the volume. */
  placeOf(axis, { x, z }) {
    return { ...this.point, [ACROSS[axis]]: x, [DOWN[axis]]: z };
  }

  /** The middle of the view, moved in the axes of a drawing. */
  moved(axis, { x, z }) {
    const { view } = this.view;
    return { [ACROSS[axis]]: view[ACROSS[axis]] + x, [DOWN[axis]]: view[DOWN[axis]] + z };
  }

  /** Whether a drawing changes while something moves: not the one in which the point is dragged. */
  moves(axis) {
    return !this.loose.size || this.loose.has(axis);
  }

  /** Move the point along some axes, in metres; the view follows it. */
  movePoint(to) {
    const { view } = this, before = this.point;
    const next = Object.fromEntries(AXES.map((axis) => [axis, clamp(to[axis] ?? before[axis], ...this.ends(axis))]));
    for (const axis of AXES) if (next[axis] !== before[axis]) this.loose.add(axis);
    view.state.point = AXES.map((axis) => next[axis]);
    const middle = {};
    for (const [axis, pane] of view.panes) {
      const { x0, x1, z0, z1 } = pane.area, across = ACROSS[axis], down = DOWN[axis];
      if (next[across] < x0 || next[across] > x1) middle[across] = next[across];
      if (next[down] < z0 || next[down] > z1) middle[down] = next[down];
    }
    this.refresh();
    view.move(middle);
  }

  /** Show the drawings of the present point. */
  refresh() {
    for (const [axis, spec] of this.specs()) this.view.panes.get(axis)?.show(spec);
    this.setSliders();
  }

  /** Nothing moves any more: compute the field between samples. */
  settled() {
    if (!this.loose.size) return;
    this.loose.clear();
    this.refresh();
  }

  /** Move the point by some samples across and down the drawing in focus, or through it. */
  step(across, down, through) {
    const axis = [...this.view.panes].find(([, pane]) => pane.canvas === document.activeElement)?.[0] ?? "y";
    const { point, view: { own } } = this, to = {};
    for (const [each, by] of [[ACROSS[axis], across], [DOWN[axis], down], [axis, through]]) {
      if (by) to[each] = point[each] + by * own.volume[each].spacing;
    }
    this.movePoint(to);
  }

  /** What is under the pointer, or else at the point. */
  text(hover, unit) {
    const axis = hover?.axis ?? "y", pane = this.view.panes.get(axis);
    const place = hover ? this.placeOf(axis, hover) : this.point, { x, z } = this.viewOf(axis, place);
    const value = pane ? pane.valueAt(x, z) : NaN, { volume } = this.view.own;
    const where = AXES.map((each) => `${this.called(each)} ${shown(place[each], volume[each].spacing / 100)} m`).join(", ");
    return `${where}:  ${Number.isNaN(value) ? "–" : `${shown(value, unit === "m/s" ? 0.1 : 0.001)} ${unit}`}`;
  }
}
