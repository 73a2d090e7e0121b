// One model: drawings side by side that share a view, what is under the pointer, profiles, latents.

import { ERROR_MAPS, SPEED_MAPS, roundStep, shown, tableOf } from "./colours.js";
import { Pane, areaOf, wholeScale } from "./pane.js";
import { drawProfile, pointsAlong } from "./profile.js";
import { Sections } from "./sections.js";
import { showFacts, sizesOf } from "./facts.js";
import { changeOf, listenLatent, setLatent } from "./latent.js";
import { listenPointer } from "./pointer.js";
import { clamp, which } from "./state.js";

const STILL_MS = 180; // without movement, a view is drawn at the screen's own resolution
const NEAREST = 400; // pixels per sample at the closest
const NARROW = 560; // pixels: drawings stand one below the other
const CAPTION = 24; // pixels above a drawing
const MOST_DOTS = 4e6;
const SPEED = { unit: "m/s", name: "velocity" };
const SLOPE = { unit: "1/s", name: "gradient magnitude" };

export class ModelView {
  constructor(source, archives, { go, keep, step, say }) {
    Object.assign(this, { source, archives, go, keep, step, say });
    this.element = {};
    for (const each of document.querySelectorAll("#model [id]")) this.element[each.id] = each;
    this.panes = new Map();
    this.facts = new Map();
    this.mark = null;
    const e = this.element;
    for (const [value, text] of SPEED_MAPS) e.map.append(new Option(text, value));
    const set = (id, name, read) => e[id].addEventListener("change", () => this.go({ [name]: read(e[id]) }));
    for (const name of ["map", "range", "show", "other"]) set(name, name, (each) => each.value.trim());
    for (const name of ["contours", "dots", "difference"]) set(name, name, (each) => each.checked);
    for (const name of ["low", "high"]) set(name, name, (each) => (each.value === "" ? null : +each.value));
    e.with.addEventListener("change", () => this.go({ with: e.with.value, difference: e.with.value !== "" }));
    e.tools.addEventListener("change", (event) => event.target.name === "tool" && this.go({ tool: event.target.value }));
    e.closer.addEventListener("click", () => this.zoom(1 / 1.5));
    e.farther.addEventListener("click", () => this.zoom(1.5));
    e.whole.addEventListener("click", () => this.whole());
    e.previous.addEventListener("click", () => this.step(-1));
    e.next.addEventListener("click", () => this.step(1));
    this.sections = new Sections(this);
    listenLatent(this);
    listenPointer(this);
    this.resized = new ResizeObserver(() => {
      if (!this.main) return;
      this.place();
      this.update();
    });
    for (const each of [e.profile, e.panes]) this.resized.observe(each);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.update());
  }

  /** Show the model that the state names. */
  async show(state) {
    const before = this.state;
    this.state = state;
    this.setControls();
    let facts, other;
    try {
      facts = await this.factsOf(state.archive, state.model);
      other = state.with === "model" && state.other ? await this.factsOf(state.archive, which(state.other)) : null;
    } catch (error) {
      if (this.state === state) this.say(error.message);
      if (!facts || this.state !== state) return;
    }
    if (this.state !== state) return;
    const another = !before || this.own !== facts;
    this.own = facts;
    this.other = other;
    const volume = Boolean(facts.volume), middle = volume ? this.sections.middle : middleOf(facts.extent);
    if (another) {
      this.mark = null;
      this.forKind(volume);
      this.nameModel();
      this.element.latent.hidden = facts.moves === false;
    }
    this.wish = { x: state.x ?? middle.x, y: state.y ?? middle.y, z: state.z ?? middle.z, mpp: state.mpp ?? Infinity };
    this.arrange();
    if (state.dots && !volume) this.loadDots();
    this.update();
  }

  hide() {
    for (const pane of this.panes.values()) pane.remove();
    this.panes.clear();
    this.state = null;
  }

  factsOf(archive, model) {
    const key = `${archive} ${typeof model} ${model}`;
    if (!this.facts.has(key)) {
      const found = this.source.model(archive, model);
      this.facts.set(key, found);
      found.catch(() => this.facts.delete(key));
      if (this.facts.size > 64) this.facts.delete(this.facts.keys().next().value);
    }
    return this.facts.get(key);
  }

  setControls() {
    const { state, element: e } = this, archive = this.archives[state.archive];
    for (const name of ["map", "range", "show", "with", "other"]) e[name].value = state[name];
    for (const name of ["contours", "dots", "difference"]) e[name].checked = state[name];
    for (const name of ["low", "high"]) e[name].value = state[name] ?? "";
    e.fixed.hidden = state.range !== "fixed";
    e["other-choice"].hidden = state.with !== "model";
    e.difference.disabled = !state.with;
    const unknown = (option) => ["original", "error"].includes(option.value) && !archive.has_originals;
    for (const option of e.with.options) option.hidden = option.disabled = unknown(option);
    for (const option of e.show.querySelectorAll(".of-volumes")) option.disabled = unknown(option);
    for (const radio of e.tools.querySelectorAll("[name=tool]")) radio.checked = radio.value === state.tool;
    setLatent(this);
  }

  /** Show the controls and drawings that volumes have, or those of sections. */
  forKind(volume) {
    for (const each of document.querySelectorAll(".of-sections")) each.hidden = volume;
    for (const each of document.querySelectorAll(".of-volumes")) each.hidden = !volume;
    this.element.panes.classList.toggle("volume", volume);
    if (this.kind === volume) return;
    this.kind = volume;
    this.element.panes.style.gridTemplate = "";
    for (const pane of this.panes.values()) pane.remove();
    this.panes.clear();
  }

  nameModel() {
    const { own, element: e } = this;
    e["model-name"].textContent = own.key === String(own.number) ? `Model ${own.number}` : own.key;
    e["model-about"].textContent = `number ${own.number} · ${sizesOf(own)} · ${own.bytes.toLocaleString("en")} bytes`;
    document.title = `${e["model-name"].textContent} – velcodec`;
    showFacts(e.facts, own);
  }

  // Drawings

  /** Make the drawings that the state asks for. */
  arrange() {
    const { state, own, other } = this, { archive } = state, { extent } = own;
    const profile = state.tool !== "pan" && !own.volume;
    this.element.profile.hidden = !profile;
    this.element.drawings.className = profile ? state.tool : "";
    if (own.volume) {
      this.sections.arrange();
      return;
    }
    const layer = (facts, name) => (window, stale) => this.source.field(archive, facts.number, name, window, {}, stale);
    const change = changeOf(state), moved = change.share || change.moves.some(Boolean);
    const wanted = new Map();
    wanted.set("a", {
      id: `a ${archive} ${own.number} ${moved ? JSON.stringify(change) : ""}`, keep: true, ground: own, extent,
      title: moved ? "moved latent" : "decoded",
      load: moved ? (window, stale) => this.source.field(archive, own.number, "latent", window, change, stale) : layer(own, "field"),
    });
    if (state.with === "bicubic" || state.with === "original") {
      wanted.set("b", {
        id: `b ${archive} ${own.number} ${state.with}`, ground: own, extent, load: layer(own, state.with),
        title: state.with === "bicubic" ? "bicubic of its samples" : "original",
      });
    } else if (state.with === "model") {
      const title = other ? (other.key === String(other.number) ? `model ${other.number}` : other.key) : "another model";
      wanted.set("b", {
        id: `b ${archive} ${other?.number}`, ground: other ?? own, extent, title, waiting: "which one?",
        load: other ? layer(other, "field") : null,
      });
    }
    if (state.with && state.difference) {
      const exact = state.with === "original" && !moved;
      wanted.set("d", {
        id: `d ${archive} ${own.number} ${state.with} ${other?.number}`, ground: own, extent,
        title: exact ? "error at the native grid" : "difference",
        load: exact ? layer(own, "error") : null,
      });
    }
    for (const [name, pane] of this.panes) {
      if (!wanted.has(name)) {
        pane.remove();
        this.panes.delete(name);
      }
    }
    const axes = { across: "x", down: own.z_name };
    for (const [name, spec] of wanted) {
      if (!this.panes.has(name)) this.panes.set(name, new Pane(this.element.panes, name, (_, what) => this.update(what), this.source.pace));
      this.panes.get(name).show({ ...spec, axes });
    }
    this.place();
  }

  /** Stand the drawings in the rows and columns that make them largest. */
  place() {
    const host = this.element.panes, count = this.panes.size;
    const { clientWidth: width, clientHeight: height } = host;
    let columns = 1;
    if (this.own.volume && width > NARROW) this.sections.place(host);
    else if (this.own.volume) host.style.gridTemplate = "";
    else if (width > NARROW && height > 0) {
      const size = (some) => 1 / wholeScale(width / some, height / Math.ceil(count / some) - CAPTION, this.own.extent);
      for (let some = 2; some <= count; some++) if (size(some) > size(columns)) columns = some;
    }
    if (!this.own.volume) host.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    for (const pane of this.panes.values()) pane.resize();
  }

  get main() {
    return this.panes.get(this.own?.volume ? "y" : "a");
  }

  /** Draw every pane anew with the present view and colours. */
  update(what = "") {
    if (!this.state || !this.own || !this.main) return;
    this.settle();
    const looks = this.looks();
    const volume = this.own.volume && this.sections;
    for (const [name, pane] of this.panes) {
      const look = looks[name === "d" || this.showsErrors ? "error" : "field"];
      if (volume) pane.look_at(volume.viewOf(name, this.view), { ...look, cross: volume.crossOf(name), mark: null }, this.moving && volume.moves(name));
      else pane.look_at(this.view, look, this.moving);
      if (name === "d" && !pane.spec.load) this.subtract(pane);
    }
    if (what !== "size") this.drawProfile();
    this.read();
  }

  /** Whether the sections of a volume show its errors. */
  get showsErrors() {
    return Boolean(this.own.volume) && this.state.show === "error";
  }

  /** The view that is wished for, as far as it is within the model: { x, z, mpp }. */
  settle() {
    const { main, own, wish } = this;
    if (own.volume) {
      this.view = this.sections.settle(wish, Math.min(...own.spacing) / NEAREST);
      return;
    }
    const whole = wholeScale(main.width, main.height, own.extent);
    const mpp = clamp(wish.mpp, Math.min(...own.spacing) / NEAREST, whole);
    const area = areaOf(main.width, main.height, { ...wish, mpp }, own.extent);
    this.view = { x: (area.x0 + area.x1) / 2, z: (area.z0 + area.z1) / 2, mpp, whole: mpp === whole };
  }

  looks() {
    const { state, own, other } = this, gradient = state.show === "gradient", table = tableOf(state.map);
    const fields = ["a", "b", "x", "y", "z"].map((name) => this.panes.get(name)).filter((pane) => pane?.frame);
    let low = Math.min(own.low, other?.low ?? Infinity), high = Math.max(own.high, other?.high ?? -Infinity);
    if (gradient) {
      for (const pane of fields) pane.look = { ...pane.look, gradient };
      low = 0;
      high = Math.max(1e-6, ...fields.map((pane) => highest(pane.drawn, 0.995)));
    }
    if (state.range === "view" && fields.length) {
      const ends = fields.map((pane) => endsOf(gradient ? pane.drawn : pane.frame.values));
      low = Math.min(...ends.map((each) => each[0]));
      high = Math.max(...ends.map((each) => each[1]));
    } else if (state.range === "fixed") {
      low = state.low ?? low;
      high = state.high ?? high;
    }
    const step = state.contours && high > low ? roundStep((high - low) / 10) : 0;
    this.element.interval.textContent = step ? `every ${shown(step, step)} ${gradient ? "1/s" : "m/s"}` : "";
    const common = { profile: this.line, mark: this.mark };
    const dots = state.dots && this.dots?.ground === own ? { ...this.dots, low: own.low, high: own.high, table } : null;
    if (dots && !gradient) Object.assign(dots, { low, high });
    const field = { ...common, ...(gradient ? SLOPE : SPEED), low, high, table, gradient, contours: step, dots: gradient ? null : dots };
    const errors = (this.showsErrors ? fields : [this.panes.get("d")].filter((pane) => pane?.frame)).map(({ frame }) => frame.values);
    const most = Math.max(1e-3, ...errors.map((values) => highest(values.map(Math.abs), 0.995)));
    const span = errors.length ? Math.max(1e-3, roundStep(most)) : 1;
    const error = { ...common, ...SPEED, name: "difference", low: -span, high: span, table: tableOf(ERROR_MAPS[state.map]), gradient: false };
    return { field, error };
  }

  /** The difference of the two fields, where they are drawn alike. */
  subtract(pane) {
    const a = this.panes.get("a")?.frame, b = this.panes.get("b")?.frame;
    const alike = a && b && ["x0", "x1", "z0", "z1", "nz", "nx"].every((name) => Math.abs(a[name] - b[name]) < 1e-6 * Math.max(1, Math.abs(a[name])));
    if (!alike) {
      pane.spec.waiting = a && b && this.other && String(this.other.extent) !== String(this.own.extent)
        ? "the models cover different ground" : "computing …";
      return;
    }
    if (pane.of?.a === a && pane.of?.b === b) return;
    pane.of = { a, b };
    const { values: va } = a, { values: vb } = b;
    pane.take({ ...a, gradient: undefined, values: va.map((value, i) => value - vb[i]) });
  }

  async loadDots() {
    const { own, state } = this;
    if (this.dots?.ground === own) return;
    if (own.nz * own.nx > MOST_DOTS) {
      this.say("too many samples to draw as dots");
      return;
    }
    const { nz, nx } = own;
    try {
      const values = await this.source.field(state.archive, own.number, "samples", { z0: 0, z1: nz, x0: 0, x1: nx, nz, nx });
      this.dots = { ground: own, values };
      this.update();
    } catch (error) {
      this.say(error.message);
    }
  }

  // Moving

  move(view, moving = true) {
    this.wish = { ...this.view, ...view };
    this.moving = moving;
    this.update();
    if (this.view.whole) this.wish.mpp = Infinity;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.moving = false;
      if (!this.state) return;
      if (this.own.volume) this.sections.settled();
      this.update();
      const { x, y, z, mpp, whole } = this.view;
      this.keep({ ...(whole ? { x: null, y: null, z: null, mpp: null } : { x, y, z, mpp }), point: this.state.point });
    }, STILL_MS);
  }

  /** Zoom about a point in metres, or the middle. */
  zoom(factor, about = this.own.volume ? this.sections.point : this.view) {
    const before = this.view;
    this.wish = { ...before, mpp: before.mpp * factor };
    this.settle();
    const { mpp } = this.view, real = mpp / before.mpp, to = { mpp };
    for (const axis of ["x", "y", "z"]) if (axis in about) to[axis] = about[axis] + (before[axis] - about[axis]) * real;
    this.move(to);
  }

  whole() {
    this.move({ ...(this.own.volume ? this.sections.middle : middleOf(this.own.extent)), mpp: Infinity });
  }

  // Under the pointer, and along a line

  /** Say what is under the pointer's mark. */
  read() {
    const { mark, own, state, element: e } = this;
    if (own.volume) {
      e.readout.textContent = this.sections.text(mark, state.show === "gradient" ? "1/s" : "m/s");
      return;
    }
    if (!mark) {
      e.readout.textContent = "Wheel, pinch or + and − zoom; every zoom is computed anew.";
      return;
    }
    const gradient = state.show === "gradient";
    const parts = [...this.panes].map(([name, pane]) => {
      const value = pane.valueAt(mark.x, mark.z);
      const text = Number.isNaN(value) ? "absent" : gradient && name !== "d" ? `${shown(value, 0.001)} 1/s` : `${shown(value, 0.1)} m/s`;
      return this.panes.size > 1 ? `${pane.spec.title} ${text}` : text;
    });
    const step = Math.min(...own.spacing) / 100;
    e.readout.textContent = `x ${shown(mark.x, step)} m, ${own.z_name} ${shown(mark.z, step)} m:  ${parts.join(",  ")}`;
  }

  setProfile(name, points) {
    this.state[name] = points;
    this.update();
  }

  /** The line of the profile that is shown, or null. */
  get line() {
    const { state, main, own } = this;
    if (!state || !own || own.volume || !main?.view || state.tool === "pan") return null;
    const area = main.area;
    if (state.tool === "well") {
      const x = clamp(state.well[0] ?? (area.x0 + area.x1) / 2, own.extent[0], own.extent[1]);
      return [x, area.z0, x, area.z1];
    }
    return state.line.length === 4 ? state.line : [area.x0, (area.z0 + area.z1) / 2, area.x1, (area.z0 + area.z1) / 2];
  }

  drawProfile() {
    const { element: e, line } = this;
    if (!line || e.profile.hidden) return;
    const canvas = e.profile.querySelector("canvas");
    const points = pointsAlong(line, 800);
    const curves = ["a", "b"].map((name) => this.panes.get(name)).filter((pane) => pane?.frame)
      .map((pane) => ({ name: pane.spec.title, values: points.map(({ x, z }) => pane.between(x, z)) }));
    if (!curves.length || !canvas.clientWidth) return;
    const gradient = this.state.show === "gradient";
    drawProfile(canvas, line, points, curves, gradient ? "gradient magnitude, 1/s" : "velocity, m/s", this.own.z_name);
    const [x0, z0, x1, z1] = line;
    e.profile.querySelector("figcaption").textContent = this.state.tool === "well"
      ? `Well at x = ${shown(x0, 0.1)} m. Click or drag in a drawing to move it.`
      : `From (${shown(x0)}, ${shown(z0)}) to (${shown(x1)}, ${shown(z1)}) m. Drag in a drawing to choose another line.`;
  }

}

function middleOf([x0, x1, z0, z1]) {
  return { x: (x0 + x1) / 2, z: (z0 + z1) / 2 };
}

function endsOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** The value that a share of the values lies below, of some thousand of them. */
function highest(values, share) {
  const some = [], every = Math.max(1, Math.floor(values.length / 4000));
  for (let i = 0; i < values.length; i += every) if (!Number.isNaN(values[i])) some.push(values[i]);
  some.sort((a, b) => a - b);
  return some.length ? some[Math.min(some.length - 1, Math.floor(share * some.length))] : 0;
}
