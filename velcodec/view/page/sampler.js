// The field between stored samples (docs/format-sampler.md).

import { dense } from "./siren.js";

const UNITS = 32;
const TAPS = 9;
const DILATIONS = [1, 2, 4, 8, 3, 1];
const REACH = 25; // samples that features depend on, on either side
const BLOCK = 128; // samples along a side whose features are computed together
const BLOCKS_KEPT = 24;
const FAINT = 2 ** -11;

const clampTo = (value, least, most) => Math.min(Math.max(value, least), most);

/** The weights of sampler 1 in all four orientations. */
export class Sampler {
  constructor(t) {
    const turned = (g, z, x, size) => [g >= 2 ? size - 1 - z : z, g & 1 ? size - 1 - x : x];
    this.lift = new Float64Array(UNITS * 27);
    this.out = new Float64Array(UNITS * UNITS);
    this.convs = DILATIONS.map(() => new Float64Array(UNITS * TAPS * UNITS));
    this.direction = new Float64Array(2 * UNITS);
    const four = (values) => Float64Array.from({ length: UNITS }, (_, i) => values[i % 8]);
    for (let g = 0; g < 4; g++) {
      for (let c = 0; c < 8; c++) {
        const row = 8 * g + c;
        for (let z = 0; z < 5; z++) {
          for (let x = 0; x < 5; x++) {
            const [a, b] = turned(g, z, x, 5);
            this.lift[row * 27 + 5 * z + x] = t.lift[27 * c + 5 * a + b];
          }
        }
        this.lift[row * 27 + 25] = t.lift[27 * c + 25];
        this.lift[row * 27 + 26] = t.lift[27 * c + 26];
        this.direction[2 * row] = t.direction[2 * c] * (g & 1 ? -1 : 1);
        this.direction[2 * row + 1] = t.direction[2 * c + 1] * (g >= 2 ? -1 : 1);
        for (let k = 0; k < 4; k++) {
          for (let d = 0; d < 8; d++) {
            this.out[row * UNITS + 8 * k + d] = t.out[(c * 4 + (g ^ k)) * 8 + d];
            DILATIONS.forEach((_, n) => {
              for (let z = 0; z < 3; z++) {
                for (let x = 0; x < 3; x++) {
                  const [a, b] = turned(g, z, x, 3);
                  this.convs[n][(row * TAPS + 3 * z + x) * UNITS + 8 * k + d] =
                    t.convs[((((n * 8 + c) * 4 + (g ^ k)) * 8 + d) * 3 + a) * 3 + b];
                }
              }
            });
          }
        }
      }
    }
    this.liftBias = four(t.lift_bias);
    this.convBias = DILATIONS.map((_, n) => four(t.conv_bias.slice(8 * n, 8 * n + 8)));
    this.outBias = four(t.out_bias);
    this.gate = four(t.gate);
    this.gateBias = t.gate_bias;
    this.last = four(t.last);
  }
}

/** The continuous field of samples (nz, nx), at positions in cells. */
export class SampledField {
  constructor(samples, nz, nx, sampler) {
    Object.assign(this, { samples, nz, nx, sampler });
    this.least = Infinity;
    this.greatest = -Infinity;
    for (const value of samples) {
      this.least = Math.min(this.least, value);
      this.greatest = Math.max(this.greatest, value);
    }
    this.blocks = new Map();
  }

  /** Fill `out` (zs, xs) at ascending positions. */
  fill(zs, xs, out) {
    if (this.least === this.greatest) {
      out.fill(this.least);
      return;
    }
    const { nz, nx } = this;
    const blockOf = (first, n) => clampTo(Math.floor(first / BLOCK), 0, Math.floor((n - 1) / BLOCK));
    const runs = (at, n) => {
      const found = [];
      for (let i = 0; i < at.length; i++) {
        const block = blockOf(Math.max(0, Math.floor(at[i] - 0.5)), n);
        if (!found.length || found.at(-1).block !== block) found.push({ block, from: i, to: i + 1 });
        else found.at(-1).to = i + 1;
      }
      return found;
    };
    for (const rows of runs(zs, nz)) {
      for (const columns of runs(xs, nx)) this.part(this.block(rows.block, columns.block), zs, xs, rows, columns, out);
    }
  }

  /** Values of some rows and columns whose first corners are in one block. */
  part({ top, left, width, biases, gates }, zs, xs, rows, columns, out) {
    const { nz, nx, samples, least, greatest, sampler: { direction, last } } = this, spline = this.spline, wide = nx + 4;
    const place = [0, 0, 0, 0], value = [0, 0, 0, 0], weight = [0, 0, 0, 0], logit = [0, 0, 0, 0], bz = [0, 0, 0, 0], bx = [0, 0, 0, 0];
    for (let j = rows.from; j < rows.to; j++) {
      const iz = Math.floor(zs[j] - 0.5), fz = zs[j] - 0.5 - iz;
      splineWeights(fz, bz);
      for (let i = columns.from; i < columns.to; i++) {
        const ix = Math.floor(xs[i] - 0.5), fx = xs[i] - 0.5 - ix;
        splineWeights(fx, bx);
        let most = -Infinity, opening = 0, linear = 0;
        for (let corner = 0; corner < 4; corner++) {
          const q = corner >> 1, p = corner & 1;
          const z = clampTo(iz + q, 0, nz - 1), x = clampTo(ix + p, 0, nx - 1);
          const at = (z - top) * width + x - left;
          const toX = fx - p, toZ = fz - q;
          let sum = 0;
          for (let u = 0; u < UNITS; u++) {
            const hidden = biases[at * UNITS + u] + direction[2 * u] * toX + direction[2 * u + 1] * toZ;
            if (hidden > 0) sum += last[u] * hidden;
          }
          place[corner] = at;
          value[corner] = samples[z * nx + x];
          weight[corner] = (p ? fx : 1 - fx) * (q ? fz : 1 - fz);
          logit[corner] = 4 * sum;
          most = Math.max(most, logit[corner]);
          opening += weight[corner] * gates[at];
          linear += weight[corner] * value[corner];
        }
        let mixed = 0, total = 0;
        for (let corner = 0; corner < 4; corner++) {
          const share = weight[corner] * Math.exp(Math.max(logit[corner] - most, -12));
          mixed += share * value[corner];
          total += share;
        }
        const gate = Math.max(1.02 / (1 + Math.exp(-2 * opening)) - 0.02, 0);
        let cubic = 0;
        if (gate > 0) {
          for (let k = 0; k < 4; k++) {
            const row = (iz + 1 + k) * wide + ix + 1;
            cubic += bz[k] * (bx[0] * spline[row] + bx[1] * spline[row + 1] + bx[2] * spline[row + 2] + bx[3] * spline[row + 3]);
          }
        }
        out[j * xs.length + i] = clampTo(mixed / total + gate * (cubic - linear), least, greatest);
      }
    }
  }

  get spline() {
    this.coefficients ??= splineCoefficients(this.samples, this.nz, this.nx);
    return this.coefficients;
  }

  /** Biases and gates of a block's samples and one more row and column. */
  block(bz, bx) {
    const key = `${bz} ${bx}`;
    let found = this.blocks.get(key);
    if (!found) {
      found = this.features(bz * BLOCK, bx * BLOCK);
      this.blocks.set(key, found);
      if (this.blocks.size > BLOCKS_KEPT) this.blocks.delete(this.blocks.keys().next().value);
    }
    return found;
  }

  features(top, left) {
    const { nz, nx, sampler } = this;
    const bottom = Math.min(top + BLOCK + 1, nz), right = Math.min(left + BLOCK + 1, nx);
    const z0 = Math.max(top - REACH, 0), x0 = Math.max(left - REACH, 0);
    const z1 = Math.min(bottom + REACH, nz), x1 = Math.min(right + REACH, nx);
    const h = z1 - z0, w = x1 - x0;
    const half = (this.greatest - this.least) / 2, middle = this.least + half;
    const t = new Float64Array(h * w);
    for (let z = 0; z < h; z++) for (let x = 0; x < w; x++) t[z * w + x] = (this.samples[(z + z0) * nx + x + x0] - middle) / half;
    const [small, near, far] = [3, 5, 13].map((size) => rangeAround(t, h, w, size));
    const gathered = new Float64Array(4 * 27);
    let y = new Float64Array(h * w * UNITS);
    eachFour(h * w, (first, count) => {
      for (let q = 0; q < count; q++) {
        const at = first + q, z = Math.floor(at / w), x = at % w, scale = near[at] + FAINT;
        let to = q * 27;
        for (let j = -2; j <= 2; j++) {
          const row = clampTo(z + j, 0, h - 1) * w;
          for (let i = -2; i <= 2; i++) gathered[to++] = (2 * (t[row + clampTo(x + i, 0, w - 1)] - t[at])) / scale;
        }
        gathered[to++] = near[at] / (far[at] + FAINT);
        gathered[to] = small[at] / scale;
      }
    }, (first, count, four) => {
      dense(sampler.lift, sampler.liftBias, gathered, four, 4, 27, UNITS);
      for (let k = 0; k < count * UNITS; k++) y[first * UNITS + k] = Math.max(0, four[k]);
    });
    const around = new Float64Array(4 * TAPS * UNITS);
    DILATIONS.forEach((d, n) => {
      const next = new Float64Array(y.length);
      eachFour(h * w, (first, count) => {
        for (let q = 0; q < count; q++) {
          const at = first + q, z = Math.floor(at / w), x = at % w;
          for (let j = 0; j < 3; j++) {
            const row = clampTo(z + (j - 1) * d, 0, h - 1) * w;
            for (let i = 0; i < 3; i++) {
              const from = (row + clampTo(x + (i - 1) * d, 0, w - 1)) * UNITS;
              around.set(y.subarray(from, from + UNITS), (q * TAPS + 3 * j + i) * UNITS);
            }
          }
        }
      }, (first, count, four) => {
        dense(sampler.convs[n], sampler.convBias[n], around, four, 4, TAPS * UNITS, UNITS);
        const at = first * UNITS;
        for (let k = 0; k < count * UNITS; k++) next[at + k] = y[at + k] + Math.max(0, four[k]);
      });
      y = next;
    });
    const width = right - left, tall = bottom - top;
    const biases = new Float64Array(tall * width * UNITS), gates = new Float64Array(tall * width), four = new Float64Array(4 * UNITS);
    const input = new Float64Array(4 * UNITS);
    for (let z = 0; z < tall; z++) {
      for (let x = 0; x < width; x++) {
        const from = ((z + top - z0) * w + x + left - x0) * UNITS, to = z * width + x;
        input.set(y.subarray(from, from + UNITS));
        dense(sampler.out, sampler.outBias, input, four, 4, UNITS, UNITS);
        biases.set(four.subarray(0, UNITS), to * UNITS);
        let gate = sampler.gateBias[0];
        for (let u = 0; u < UNITS; u++) gate += sampler.gate[u] * y[from + u];
        gates[to] = gate;
      }
    }
    return { top, left, width, biases, gates };
  }
}

function eachFour(total, gather, use) {
  const four = new Float64Array(4 * UNITS);
  for (let first = 0; first < total; first += 4) {
    const count = Math.min(4, total - first);
    gather(first, count);
    use(first, count, four);
  }
}

/** Greatest less least of the size x size samples about each. */
function rangeAround(t, h, w, size) {
  const half = size >> 1, out = new Float64Array(t.length);
  const extreme = (pick) => {
    const rows = new Float64Array(t.length), found = new Float64Array(t.length);
    for (let z = 0; z < h; z++) {
      for (let x = 0; x < w; x++) {
        let best = t[z * w + x];
        for (let i = -half; i <= half; i++) best = pick(best, t[z * w + clampTo(x + i, 0, w - 1)]);
        rows[z * w + x] = best;
      }
    }
    for (let z = 0; z < h; z++) {
      for (let x = 0; x < w; x++) {
        let best = rows[z * w + x];
        for (let j = -half; j <= half; j++) best = pick(best, rows[clampTo(z + j, 0, h - 1) * w + x]);
        found[z * w + x] = best;
      }
    }
    return found;
  };
  const most = extreme(Math.max), least = extreme(Math.min);
  for (let i = 0; i < out.length; i++) out[i] = most[i] - least[i];
  return out;
}

function splineWeights(f, out) {
  const g = 1 - f;
  out[0] = (g * g * g) / 6;
  out[1] = (4 - 6 * f * f + 3 * f * f * f) / 6;
  out[2] = (4 - 6 * g * g + 3 * g * g * g) / 6;
  out[3] = (f * f * f) / 6;
}

/** Coefficients (nz + 4, nx + 4) of the natural cubic B-spline, two more on every side. */
function splineCoefficients(samples, nz, nx) {
  const down = new Float64Array((nz + 4) * nx), column = new Float64Array(nz);
  for (let x = 0; x < nx; x++) {
    for (let z = 0; z < nz; z++) column[z] = samples[z * nx + x];
    solveSpline(column).forEach((value, z) => { down[z * nx + x] = value; });
  }
  const out = new Float64Array((nz + 4) * (nx + 4));
  for (let z = 0; z < nz + 4; z++) out.set(solveSpline(down.subarray(z * nx, (z + 1) * nx)), z * (nx + 4));
  return out;
}

function solveSpline(v) {
  const n = v.length, c = Float64Array.from(v), factor = new Float64Array(n);
  for (let i = 1; i < n - 1; i++) { // (c[i-1] + 4 c[i] + c[i+1]) / 6 = v[i], the ends known
    factor[i] = 1 / (4 - (i > 1 ? factor[i - 1] : 0));
    c[i] = (6 * v[i] - c[i - 1]) * factor[i];
  }
  for (let i = n - 2; i > 0; i--) c[i] -= factor[i] * c[i + 1];
  const out = new Float64Array(n + 4);
  out.set(c, 2);
  const inner = (i) => (n === 1 ? c[0] : i < 0 ? 2 * c[0] - inner(-i) : i >= n ? 2 * c[n - 1] - inner(2 * n - 2 - i) : c[i]);
  for (const i of [-2, -1, n, n + 1]) out[i + 2] = inner(i);
  return out;
}
