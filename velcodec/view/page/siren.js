// The decoders: a latent and points of a tile to normalised velocity (docs/format.md, docs/decoder.md).

const ROUNDING = 6755399441055744; // adding and subtracting it rounds to a whole number
const TURNS = 1 / (2 * Math.PI);

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

  /** Normalised velocities of `count` points. */
  values(e, px, pz, count, out) {
    const { width: w, components: k, faults, strata, warp_features: q } = this.config;
    const { warp_first: wave, warp_bias: phase } = this.tensors, points = count + (-count & 3);
    let h = new Float64Array(points * w), next = new Float64Array(points * w);
    const logits = new Float64Array(points * k), deep = new Float64Array(points);
    for (let p = 0; p < count; p++) {
      let x = px[p], z = pz[p], dx = 0, dz = 0;
      for (let f = 0; f < faults; f++) {
        const side = Math.tanh(e.fault_plane[3 * f] * x + e.fault_plane[3 * f + 1] * z + e.fault_plane[3 * f + 2]);
        dx += side * e.fault_throw[2 * f];
        dz += side * e.fault_throw[2 * f + 1];
      }
      x += dx;
      z += dz;
      dx = dz = 0;
      for (let j = 0; j < q; j++) {
        const turn = sine(wave[2 * j] * x + wave[2 * j + 1] * z + phase[j]);
        dx += turn * e.warp[j];
        dz += turn * e.warp[q + j];
      }
      x += dx;
      z += dz;
      deep[p] = z;
      for (let i = 0; i < w; i++) h[p * w + i] = sine(e.first[2 * i] * x + e.first[2 * i + 1] * z + e.first_bias[i]);
    }
    for (const { W, bias } of e.hidden) {
      dense(W, bias, h, next, points, w, w);
      for (let i = 0; i < next.length; i++) next[i] = sine(next[i]);
      [h, next] = [next, h];
    }
    dense(e.logit, e.logit_bias, h, logits, points, w, k);
    for (let p = 0; p < count; p++) {
      let most = -Infinity, total = 0, value = 0;
      for (let i = 0; i < k; i++) most = Math.max(most, logits[p * k + i]);
      for (let i = 0; i < k; i++) {
        const share = Math.exp(logits[p * k + i] - most);
        total += share;
        value += share * e.level[i];
      }
      value /= total;
      for (let i = 0; i < w; i++) value += e.ramp[i] * h[p * w + i];
      for (let j = 0; j < strata; j++) value += e.jump[j] * Math.tanh(e.rate[j] * (deep[p] - e.depth[j]));
      out[p] = value;
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
