// One drawing of a model: computed anew for the window that is seen, with equal axes in metres.

import { paint } from "./colours.js";
import { MARGIN, drawAxes, drawBar } from "./axes.js";
import { contourPath, gradientOf } from "./contours.js";

const DOT_PIXELS = 7; // samples closer together than this are not drawn as dots
const MOST_PIXELS = 1600; // along a side of a window
const SOON_MS = 250; // what takes longer is first drawn coarsely
const MOVING_MS = 70; // while moving, a window is drawn as finely as this time allows

/** Metres per pixel at which a whole model fits. */
export function wholeScale(width, height, [x0, x1, z0, z1]) {
  const wide = Math.max(20, width - MARGIN.left - MARGIN.right);
  const tall = Math.max(20, height - MARGIN.top - MARGIN.bottom);
  return Math.max((x1 - x0) / wide, (z1 - z0) / tall);
}

/** The drawing's area in pixels, and the part of the ground in it, for a view { x, z, mpp }. */
export function areaOf(width, height, view, [x0, x1, z0, z1]) {
  const wide = Math.max(20, width - MARGIN.left - MARGIN.right);
  const tall = Math.max(20, height - MARGIN.top - MARGIN.bottom);
  const w = Math.min(wide, (x1 - x0) / view.mpp), h = Math.min(tall, (z1 - z0) / view.mpp);
  const half = { x: (w * view.mpp) / 2, z: (h * view.mpp) / 2 };
  const x = Math.min(Math.max(view.x, x0 + half.x), x1 - half.x);
  const z = Math.min(Math.max(view.z, z0 + half.z), z1 - half.z);
  return {
    left: MARGIN.left + (wide - w) / 2, top: MARGIN.top, width: w, height: h,
    x0: x - half.x, x1: x + half.x, z0: z - half.z, z1: z + half.z,
  };
}

export class Pane {
  /** A drawing inside `host`; `changed` is called after each new frame, `pace` is a first guess. */
  constructor(host, label, changed, pace) {
    this.figure = document.createElement("figure");
    this.figure.className = "pane";
    const caption = document.createElement("figcaption");
    this.title = document.createElement("b");
    this.detail = document.createElement("span");
    this.detail.className = "quiet";
    caption.append(this.title, this.detail);
    const space = document.createElement("div");
    space.className = "space";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.dataset.pane = label;
    this.canvas.dataset.frames = 0;
    space.append(this.canvas);
    this.figure.append(caption, space);
    host.append(this.figure);
    this.changed = changed;
    this.frame = null;
    this.wanted = null;
    this.busy = false;
    this.pace = pace; // milliseconds per pixel of late
    this.spec = null;
    this.look = null;
    this.view = null;
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(space);
    this.resize();
  }

  remove() {
    this.spec = null;
    this.resized.disconnect();
    this.figure.remove();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (clientWidth === this.width && clientHeight === this.height) return;
    this.width = clientWidth || 300;
    this.height = clientHeight || 240;
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    if (this.view) this.changed(this, "size");
  }

  /**
   * What to draw: { id, title, ground, load(window) }; a pane without `load` is given its frames. A
   * frame of another id of the same `series` is drawn until its successor is there.
   */
  show(spec) {
    const same = this.spec && this.spec.id === spec.id;
    this.spec = spec;
    this.title.textContent = spec.title;
    if (!same) {
      this.failed = "";
      this.wanted = null;
      if (!spec.keep) this.frame = null;
      this.key = "";
    }
  }

  /** Draw the view { x, z, mpp } with { low, high, table, unit, gradient, contours, ... }. */
  look_at(view, look, moving) {
    this.view = view;
    const before = this.look;
    this.look = look;
    if (!before || ["low", "high", "table", "gradient"].some((name) => before[name] !== look[name])) this.painted = null;
    if (this.spec?.load) this.ask(moving);
    this.draw();
  }

  get area() {
    return areaOf(this.width, this.height, this.view, this.spec.extent);
  }

  /** Ask for the window that is seen, unless it is there already; the newest goes first. */
  ask(moving) {
    const area = this.area, [gx0, gx1, gz0, gz1] = this.spec.ground.extent;
    const x0 = Math.max(area.x0, gx0), x1 = Math.min(area.x1, gx1);
    const z0 = Math.max(area.z0, gz0), z1 = Math.min(area.z1, gz1);
    if (!(x1 > x0 && z1 > z0)) return;
    const all = ((z1 - z0) / this.view.mpp) * ((x1 - x0) / this.view.mpp);
    const quality = moving ? Math.max(0.25, Math.min(1, Math.sqrt(MOVING_MS / (this.pace * all)))) : this.ratio;
    const pixels = (metres) => Math.min(MOST_PIXELS, Math.max(1, Math.round((metres / this.view.mpp) * quality)));
    const wanted = { x0, x1, z0, z1, nz: pixels(z1 - z0), nx: pixels(x1 - x0) };
    const key = `${this.spec.id} ${Object.values(wanted).join()}`;
    if (key === this.key) return;
    this.key = key;
    const coarse = Math.sqrt(SOON_MS / (this.pace * wanted.nz * wanted.nx));
    this.finer = null;
    if (coarse < 0.7) { // a coarse drawing first, as it would take long
      this.finer = wanted;
      this.wanted = { ...wanted, nz: Math.ceil(wanted.nz * coarse), nx: Math.ceil(wanted.nx * coarse) };
    } else this.wanted = wanted;
    if (!this.busy) this.load();
  }

  async load() {
    this.busy = true;
    this.canvas.setAttribute("aria-busy", "true");
    while (this.wanted && this.spec?.load) {
      const { wanted, spec } = this;
      const { extent: [gx0, gx1, gz0, gz1], nz, nx } = spec.ground;
      const cells = {
        z0: within(((wanted.z0 - gz0) / (gz1 - gz0)) * nz, nz), z1: within(((wanted.z1 - gz0) / (gz1 - gz0)) * nz, nz),
        x0: within(((wanted.x0 - gx0) / (gx1 - gx0)) * nx, nx), x1: within(((wanted.x1 - gx0) / (gx1 - gx0)) * nx, nx),
        nz: wanted.nz, nx: wanted.nx,
      };
      this.wanted = null;
      const started = performance.now();
      try {
        const values = await spec.load(cells, () => this.wanted !== null);
        const pace = (performance.now() - started) / (cells.nz * cells.nx);
        this.pace = 0.7 * this.pace + 0.3 * pace;
        if (this.spec?.id === spec.id || (spec.series && this.spec?.series === spec.series)) {
          this.take({ ...wanted, values, id: spec.id });
          if (this.finer && !this.wanted) [this.wanted, this.finer] = [this.finer, null];
        }
      } catch (error) {
        if (this.wanted) continue; // called off
        if (this.spec?.id === spec.id) {
          this.failed = error.message;
          this.frame = null;
          this.draw();
        }
      }
    }
    this.busy = false;
    this.canvas.removeAttribute("aria-busy");
  }

  /** Take a frame: values (nz, nx) of a part of the ground. */
  take(frame) {
    this.frame = frame;
    this.painted = this.lines = null;
    this.failed = "";
    this.canvas.dataset.frames = +this.canvas.dataset.frames + 1;
    this.canvas.dataset.pixels = `${frame.nz}x${frame.nx}`;
    this.changed(this, "frame");
    this.draw();
  }

  /** What is drawn of the frame: its values, or the magnitude of their gradient. */
  get drawn() {
    const { frame, look } = this;
    if (!look.gradient) return frame.values;
    const { nz, nx } = frame;
    frame.gradient ??= gradientOf(frame.values, nz, nx, (frame.z1 - frame.z0) / nz, (frame.x1 - frame.x0) / nx);
    return frame.gradient;
  }

  /** The value drawn at a point in metres, or NaN. */
  valueAt(x, z) {
    const { frame } = this;
    if (!frame || !this.look) return NaN;
    const i = Math.floor(((x - frame.x0) / (frame.x1 - frame.x0)) * frame.nx);
    const j = Math.floor(((z - frame.z0) / (frame.z1 - frame.z0)) * frame.nz);
    return i < 0 || j < 0 || i >= frame.nx || j >= frame.nz ? NaN : this.drawn[j * frame.nx + i];
  }

  /** As `valueAt`, linear between the centres of pixels. */
  between(x, z) {
    const { frame } = this;
    if (!frame) return NaN;
    const px = (frame.x1 - frame.x0) / frame.nx, pz = (frame.z1 - frame.z0) / frame.nz;
    if (x < frame.x0 || x > frame.x1 || z < frame.z0 || z > frame.z1) return NaN;
    const at = (value, from, step, n) => Math.min(Math.max((value - from) / step - 0.5, 0), n - 1);
    const u = at(x, frame.x0, px, frame.nx), v = at(z, frame.z0, pz, frame.nz);
    const i = Math.min(Math.floor(u), Math.max(0, frame.nx - 2)), j = Math.min(Math.floor(v), Math.max(0, frame.nz - 2));
    const right = frame.nx > 1 ? 1 : 0, below = frame.nz > 1 ? frame.nx : 0, k = j * frame.nx + i, values = this.drawn;
    const upper = values[k] + (values[k + right] - values[k]) * (u - i);
    const lower = values[k + below] + (values[k + below + right] - values[k + below]) * (u - i);
    return upper + (lower - upper) * (v - j);
  }

  /** The point in metres under a pointer event, or null outside of the drawing. */
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect(), area = this.area;
    const px = event.clientX - box.left - area.left, pz = event.clientY - box.top - area.top;
    const inside = px >= 0 && pz >= 0 && px <= area.width && pz <= area.height;
    return { x: area.x0 + px * this.view.mpp, z: area.z0 + pz * this.view.mpp, inside };
  }

  draw() {
    if (!this.view || !this.spec || this.queued) return;
    this.queued = requestAnimationFrame(() => {
      this.queued = 0;
      if (this.spec) this.drawNow();
    });
  }

  drawNow() {
    const { look, frame, view } = this;
    const style = getComputedStyle(this.canvas);
    const ink = style.getPropertyValue("--ink"), quiet = style.getPropertyValue("--quiet");
    const context = this.canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const area = this.area;
    const toX = (x) => area.left + (x - area.x0) / view.mpp, toZ = (z) => area.top + (z - area.z0) / view.mpp;
    context.save();
    context.beginPath();
    context.rect(area.left, area.top, area.width, area.height);
    context.clip();
    context.fillStyle = style.getPropertyValue("--hatch");
    context.fillRect(area.left, area.top, area.width, area.height);
    if (frame) {
      if (!this.painted) {
        this.painted = new OffscreenCanvas(frame.nx, frame.nz);
        const image = paint(this.drawn, frame.nz, frame.nx, look.low, look.high, look.table);
        this.painted.getContext("2d").putImageData(image, 0, 0);
      }
      const left = toX(frame.x0), top = toZ(frame.z0), wide = toX(frame.x1) - left, tall = toZ(frame.z1) - top;
      context.imageSmoothingEnabled = false;
      context.drawImage(this.painted, left, top, wide, tall);
      if (look.contours) this.drawContours(context, left, top, wide / frame.nx, tall / frame.nz);
    }
    if (look.dots) this.drawDots(context, area, toX, toZ);
    this.drawMarks(context, area, toX, toZ);
    context.restore();
    const names = this.spec.axes;
    drawAxes(context, area, area.x0, area.x1, area.z0, area.z1, names, ink, quiet);
    drawBar(context, area, look.low, look.high, look.table, look.unit, ink, quiet);
    if (this.failed) this.drawText(context, area, this.failed, ink);
    else if (!frame) this.drawText(context, area, this.spec.waiting ?? "computing …", quiet);
    const part = (name, from, to) => `${Math.round(from)} to ${Math.round(to)} m ${name.length === 1 ? `along ${name}` : name === "depth" ? "deep" : name}`;
    this.canvas.setAttribute("aria-label", `${this.spec.title}: ${look.name} from ${part(names.across, area.x0, area.x1)} and ` +
      `${part(names.down, area.z0, area.z1)}. ${this.detail.textContent}`);
  }

  drawContours(context, left, top, perX, perZ) {
    const { frame, look } = this;
    if (!this.lines || this.lines.step !== look.contours || this.lines.gradient !== look.gradient) {
      const path = contourPath(this.drawn, frame.nz, frame.nx, look.contours);
      this.lines = { step: look.contours, gradient: look.gradient, path };
    }
    const scaled = new Path2D();
    scaled.addPath(this.lines.path, new DOMMatrix([perX, 0, 0, perZ, left, top]));
    context.lineWidth = 2;
    context.strokeStyle = "rgb(255 255 255 / 45%)";
    context.stroke(scaled);
    context.lineWidth = 1;
    context.strokeStyle = "rgb(0 0 0 / 80%)";
    context.stroke(scaled);
  }

  /** Native samples as dots in their own colours, where they are far enough apart. */
  drawDots(context, area, toX, toZ) {
    const { look, spec, view } = this, { values, ground } = look.dots;
    const { extent: [gx0, , gz0], nz, nx, spacing: [dx, dz] } = ground;
    if (Math.min(dx, dz) / view.mpp < DOT_PIXELS || spec.ground !== ground) return;
    const low = look.dots.low, factor = 255.999 / Math.max(look.dots.high - low, 1e-9);
    const radius = Math.min(6, Math.min(dx, dz) / view.mpp / 3.2);
    const first = { x: Math.max(0, Math.floor((area.x0 - gx0) / dx)), z: Math.max(0, Math.floor((area.z0 - gz0) / dz)) };
    for (let j = first.z; j < nz && gz0 + j * dz <= area.z1; j++) {
      for (let i = first.x; i < nx && gx0 + i * dx <= area.x1; i++) {
        const value = values[j * nx + i];
        if (Number.isNaN(value)) continue;
        const colour = look.dots.table[Math.max(0, Math.min(255, ((value - low) * factor) | 0))];
        context.beginPath();
        context.arc(toX(gx0 + (i + 0.5) * dx), toZ(gz0 + (j + 0.5) * dz), radius, 0, 7);
        context.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
        context.fill();
        context.lineWidth = 2.5;
        context.strokeStyle = "rgb(0 0 0 / 55%)";
        context.stroke();
        context.lineWidth = 1;
        context.strokeStyle = "#fff";
        context.stroke();
      }
    }
  }

  /** The profile's line, the pointer's mark, and where other sections cross this one. */
  drawMarks(context, area, toX, toZ) {
    const { profile, mark, cross } = this.look;
    const twice = (draw) => {
      for (const [width, colour] of [[4, "rgb(0 0 0 / 60%)"], [1.5, "#fff"]]) {
        context.lineWidth = width;
        context.strokeStyle = colour;
        context.beginPath();
        draw();
        context.stroke();
      }
    };
    if (cross) {
      twice(() => {
        const x = toX(cross.x), z = toZ(cross.z), gap = 6; // what is at the point stays in sight
        for (const [a, b] of [[area.left, x - gap], [x + gap, area.left + area.width]]) {
          context.moveTo(a, z);
          context.lineTo(b, z);
        }
        for (const [a, b] of [[area.top, z - gap], [z + gap, area.top + area.height]]) {
          context.moveTo(x, a);
          context.lineTo(x, b);
        }
      });
    }
    if (profile) {
      twice(() => {
        context.moveTo(toX(profile[0]), toZ(profile[1]));
        context.lineTo(toX(profile[2]), toZ(profile[3]));
      });
    }
    if (mark) {
      const x = toX(mark.x), z = toZ(mark.z);
      twice(() => {
        for (const [a, b] of [[-9, -3], [3, 9]]) {
          context.moveTo(x + a, z);
          context.lineTo(x + b, z);
          context.moveTo(x, z + a);
          context.lineTo(x, z + b);
        }
      });
    }
  }

  drawText(context, area, text, ink) {
    context.fillStyle = ink;
    context.font = "13px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const lines = [];
    for (const word of text.split(" ")) {
      const last = lines.at(-1);
      if (last !== undefined && context.measureText(`${last} ${word}`).width < area.width - 20) lines[lines.length - 1] = `${last} ${word}`;
      else lines.push(word);
    }
    const middle = area.top + area.height / 2 - (lines.length - 1) * 9;
    lines.forEach((line, i) => context.fillText(line, area.left + area.width / 2, middle + 18 * i));
  }
}

function within(cells, n) {
  return Math.min(Math.max(cells, 0), n);
}
