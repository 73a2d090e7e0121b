// The decoders: a latent and points of a tile to normalised velocity (docs/format.md, docs/decoder.md).

import { Layers, POINTS, TURNS } from "./simd.js";

const ROUNDING = 6755399441055744; // adding and subtracting it rounds to a whole number

/** Sine, to 3e-7: the polynomial of velcodec's compiled loops. */
function sine(x) {
  const turns = x * TURNS;
  const r = turns - (turns + ROUNDING - ROUNDING), s = r * r;
  return r * (0.25 - s) * (25.1327351 + s * (-64.8346168 + s * (67.0380336 + s * (-38.0636285 + s * 12.0736623))));
}

/**
 * Products out (points, n) = inputs (points, m) W^T + bias, W (n, m); `points` is a multiple of 4.
 * Eight sums at a time stay in registers.
 */
export function dense(W, bias, inputs, out, points, m, n) {
  for (let p = 0; p < points; p += 4) {
    const p0 = p * m, p1 = p0 + m, p2 = p1 + m, p3 = p2 + m;
    let i = 0;
    for (; i + 1 < n; i += 2) {
      const u = i * m, v = u + m;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let k = 0; k < m; k++) {
        const a = W[u + k], b = W[v + k];
        const h0 = inputs[p0 + k], h1 = inputs[p1 + k], h2 = inputs[p2 + k], h3 = inputs[p3 + k];
        a0 += a * h0; a1 += a * h1; a2 += a * h2; a3 += a * h3;
        b0 += b * h0; b1 += b * h1; b2 += b * h2; b3 += b * h3;
      }
      const o = p * n + i, c = bias[i], d = bias[i + 1];
      out[o] = a0 + c; out[o + n] = a1 + c; out[o + 2 * n] = a2 + c; out[o + 3 * n] = a3 + c;
      out[o + 1] = b0 + d; out[o + n + 1] = b1 + d; out[o + 2 * n + 1] = b2 + d; out[o + 3 * n + 1] = b3 + d;
    }
    for (; i < n; i++) {
      for (let q = 0; q < 4; q++) {
        let sum = bias[i];
        for (let k = 0; k < m; k++) sum += W[i * m + k] * inputs[p0 + q * m + k];
        out[(p + q) * n + i] = sum;
      }
    }
  }
}

const PARTS = ["fault_plane", "fault_throw", "warp", "first", "first_bias", "hidden_bias", "gate", "logit", "logit_bias",
  "level", "ramp", "jump", "depth", "log_rate"];

/** `siren-mixture`: the latent gives each model its own weights. */
export class Mixture {
  constructor(config, tensors) {
    this.config = { faults: 2, strata: 0, ...config };
    this.tensors = tensors;
  }

  /** The weights of a model. */
  weights(latent) {
    const { width: w, components: k, faults: f, strata: s, warp_features: q, hidden_layers: layers, gates } = this.config;
    const t = this.tensors, size = latent.length;
    const sizes = [3 * f, 2 * f, 2 * q, 2 * w, w, layers * w, layers * gates, k * w, k, k, w, s, s, s];
    const moved = new Float64Array(sizes.reduce((a, b) => a + b, 0));
    for (let row = 0; row < moved.length; row++) {
      let sum = 0;
      for (let d = 0; d < size; d++) sum += t.modulation[row * size + d] * latent[d];
      moved[row] = sum;
    }
    const e = {};
    let at = 0;
    PARTS.forEach((name, i) => {
      const part = moved.slice(at, at + sizes[i]), base = t[name];
      at += sizes[i];
      e[name] = base ? part.map((value, j) => value + base[j]) : part;
    });
    e.hidden = [];
    for (let i = 0; i < layers; i++) {
      const hidden = Float64Array.from(t[`hidden.${i}`]), gateIn = t[`gate_in.${i}`], gateOut = t[`gate_out.${i}`];
      for (let a = 0; a < w; a++) {
        for (let g = 0; g < gates; g++) {
          const share = gateOut[a * gates + g] * e.gate[i * gates + g];
          for (let b = 0; b < w; b++) hidden[a * w + b] += share * gateIn[g * w + b];
        }
      }
      const bias = e.hidden_bias.slice(i * w, (i + 1) * w).map((value, a) => value + t[`hidden_bias.${i}`][a]);
      e.hidden.push({ W: hidden, bias });
    }
    e.rate = e.log_rate.map(Math.exp);
    return e;
  }

  /** Room for the layers of one model, and for what goes between them. */
  prepare() {
    const { width: w, components: k, warp_features: q, hidden_layers } = this.config, most = Math.max(w, q, k + 1, 2) + 1;
    const layers = new Layers(), room = (rows) => layers.room(rows * POINTS);
    return {
      layers, wave: layers.layer(q, 2), warp: layers.layer(2, q), first: layers.layer(w, 2),
      hidden: Array.from({ length: hidden_layers }, () => layers.layer(w, w)), last: layers.layer(k + 1, w),
      place: room(2), here: room(most), there: room(most),
    };
  }

  /** Put a model's weights where its layers are. */
  load(e) {
    this.room ??= this.prepare();
    if (this.loaded === e) return this.room;
    const { layers, wave, warp, first, hidden, last } = this.room;
    layers.fill(wave, this.tensors.warp_first, this.tensors.warp_bias);
    layers.fill(warp, e.warp, [0, 0]);
    layers.fill(first, e.first, e.first_bias);
    hidden.forEach((layer, i) => layers.fill(layer, e.hidden[i].W, e.hidden[i].bias));
    layers.fill(last, [...e.logit, ...e.ramp], [...e.logit_bias, 0]);
    this.loaded = e;
    return this.room;
  }

  /** Normalised velocities of `count` points. */
  values(e, px, pz, count, out) {
    const { components: k, faults, strata } = this.config;
    const { layers, wave, warp, first, hidden, last, place, here, there } = this.load(e), rows = layers.floats(0, layers.size / 4);
    const at = place / 4;
    for (let start = 0; start < count; start += POINTS) {
      const points = Math.min(POINTS, count - start);
      for (let p = 0; p < points; p++) {
        const x = px[start + p], z = pz[start + p];
        let dx = 0, dz = 0;
        for (let f = 0; f < faults; f++) {
          const side = Math.tanh(e.fault_plane[3 * f] * x + e.fault_plane[3 * f + 1] * z + e.fault_plane[3 * f + 2]);
          dx += side * e.fault_throw[2 * f];
          dz += side * e.fault_throw[2 * f + 1];
        }
        rows[at + p] = x + dx;
        rows[at + POINTS + p] = z + dz;
      }
      layers.run(wave, place, here, true);
      layers.run(warp, here, there, false);
      for (let p = 0; p < 2 * POINTS; p++) rows[at + p] += rows[there / 4 + p];
      layers.run(first, place, here, true);
      let [from, to] = [here, there];
      for (const layer of hidden) {
        layers.run(layer, from, to, true);
        [from, to] = [to, from];
      }
      layers.run(last, from, to, false);
      const logits = to / 4;
      for (let p = 0; p < points; p++) {
        let most = -Infinity, total = 0, value = 0;
        for (let i = 0; i < k; i++) most = Math.max(most, rows[logits + i * POINTS + p]);
        for (let i = 0; i < k; i++) {
          const share = Math.exp(rows[logits + i * POINTS + p] - most);
          total += share;
          value += share * e.level[i];
        }
        value = value / total + rows[logits + k * POINTS + p];
        const deep = rows[at + POINTS + p];
        for (let j = 0; j < strata; j++) value += e.jump[j] * Math.tanh(e.rate[j] * (deep - e.depth[j]));
        out[start + p] = value;
      }
    }
  }
}

/** `siren-concat`: coordinates and latent together. */
export class Concatenated {
  constructor(config, tensors) {
    this.config = config;
    this.layers = ["first", ...Array.from({ length: config.hidden_layers }, (_, i) => `hidden.${i}`), "output"].map((name) => ({
      W: Float64Array.from(tensors[`${name}.weight`]), bias: Float64Array.from(tensors[`${name}.bias`]),
    }));
  }

  weights(latent) {
    return latent;
  }

  values(latent, px, pz, count, out) {
    const points = count + (-count & 3), size = latent.length + 2;
    let h = new Float64Array(points * size), m = size;
    for (let p = 0; p < count; p++) {
      h[p * size] = px[p];
      h[p * size + 1] = pz[p];
      h.set(latent, p * size + 2);
    }
    const { omega_0: omega, activation } = this.config, last = this.layers.length - 1;
    this.layers.forEach(({ W, bias }, number) => {
      const n = bias.length, next = new Float64Array(points * n);
      dense(W, bias, h, next, points, m, n);
      if (number < last) {
        for (let i = 0; i < next.length; i++) next[i] = activation === "relu" ? Math.max(0, next[i]) : sine(omega * next[i]);
      }
      h = next;
      m = n;
    });
    out.set(h.subarray(0, count));
  }
}
