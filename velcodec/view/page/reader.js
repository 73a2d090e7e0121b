// Models in a page: what is stored in it to velocities in m/s. Runs in workers.

import { Concatenated, Mixture } from "./siren.js";
import { SampledField, Sampler } from "./sampler.js";

const TYPES = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array,
  u2: Uint16Array, u4: Uint32Array };
const BATCH = 1024; // points evaluated together
const KEPT = 8; // models whose weights are kept

/** An array of the page: { at, dtype, shape } in its bytes. */
function arrayIn(bytes, { at, dtype, shape }) {
  const count = shape.reduce((a, b) => a * b, 1);
  return dtype === "f2" ? Float32Array.from(new Uint16Array(bytes, at, count), half) : new TYPES[dtype](bytes, at, count);
}

/** A float16 of these bits. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -24 * rest);
}

/** One axis of a tiling: `samples` under `tiles` tiles of `size` samples. */
class Axis {
  constructor([samples, size, tiles]) {
    Object.assign(this, { samples, size, tiles });
    const gaps = tiles - 1;
    this.offsets = Array.from({ length: tiles }, (_, k) => (gaps ? Math.floor((2 * k * (samples - size) + gaps) / (2 * gaps)) : 0));
    this.cuts = this.offsets.slice(1).map((offset, k) => (offset + this.offsets[k] + size) / 2);
    let ramp = Math.min(...this.offsets.slice(1).map((offset, k) => this.offsets[k] + size - offset));
    if (tiles > 2) ramp = Math.min(ramp, ...this.cuts.slice(1).map((cut, k) => cut - this.cuts[k]));
    this.ramp = Math.max(ramp, 1e-6);
  }

  rise(cut, cells) {
    const t = Math.min(Math.max((cells - (cut - this.ramp / 2)) / this.ramp, 0), 1);
    return t * t * (3 - 2 * t);
  }

  /** For each tile in sight: positions with a weight, their coordinates in the tile, the weights. */
  parts(cells) {
    const found = [];
    for (let tile = 0; tile < this.tiles; tile++) {
      const part = { tile, at: [], local: [], weight: [] };
      cells.forEach((cell, i) => {
        const up = tile ? this.rise(this.cuts[tile - 1], cell) : 1;
        const weight = up - (tile < this.tiles - 1 ? this.rise(this.cuts[tile], cell) : 0);
        if (weight > 0) {
          part.at.push(i);
          part.local.push((2 * (cell - this.offsets[tile])) / this.size - 1);
          part.weight.push(weight);
        }
      });
      if (part.at.length) found.push(part);
    }
    return found;
  }
}

export class Reader {
  constructor(data, bytes) {
    this.data = data;
    this.bytes = bytes;
    this.decoders = new Map();
    this.samplers = new Map();
    this.latents = new Map();
    this.fields = new Map();
    this.weights = new Map();
  }

  array(described) {
    return arrayIn(this.bytes, described);
  }

  tensors(described) {
    return Object.fromEntries(Object.entries(described).map(([name, each]) => [name, this.array(each)]));
  }

  decoder(number) {
    if (!this.decoders.has(number)) {
      const { config, tensors } = this.data.decoders[number];
      const kind = config.architecture === "siren-mixture" ? Mixture : Concatenated;
      this.decoders.set(number, new kind(config, this.tensors(tensors)));
    }
    return this.decoders.get(number);
  }

  /** A model's latents (tiles, D), and the ends of each tile's range. */
  latent(number) {
    if (!this.latents.has(number)) {
      const stored = this.data.models[number], steps = this.array(this.data.decoders[stored.decoder].steps);
      const coefficients = this.array(stored.coefficients), size = coefficients.length / stored.steps.length;
      const values = Array.from(stored.steps, (step, tile) =>
        Float32Array.from(coefficients.subarray(tile * size, (tile + 1) * size), (c) => c * steps[step]));
      this.latents.set(number, { values, low: stored.low, high: stored.high });
    }
    return this.latents.get(number);
  }

  /** The latent of a model, moved towards another's and along its first coordinates. */
  moved(number, { to = null, share = 0, moves = [] }) {
    let { values, low, high } = this.latent(number);
    const stored = this.data.models[number];
    if (to !== null && share) {
      const other = this.data.models[to];
      if (other.kind !== "latent" || other.decoder !== stored.decoder || String(other.tiling) !== String(stored.tiling)) {
        throw new Error("the other model has no latent of the same decoder and tiles");
      }
      const theirs = this.latent(to), mix = (a, b) => (1 - share) * a + share * b;
      values = values.map((tile, k) => tile.map((value, d) => mix(value, theirs.values[k][d])));
      low = low.map((value, k) => mix(value, theirs.low[k]));
      high = high.map((value, k) => mix(value, theirs.high[k]));
    }
    const spread = this.data.decoders[stored.decoder].spread;
    if (moves.some(Boolean)) values = values.map((tile) => tile.map((value, d) => value + (moves[d] ?? 0) * (spread[d] ?? 0)));
    return { values, low, high };
  }

  /** Rows `first` to `last` of a window of a layer, in m/s; NaN where absent. */
  rows(number, layer, window, change, first, last) {
    const stored = this.data.models[number];
    const centres = (from, to, n) => Float64Array.from({ length: n }, (_, i) => from + ((i + 0.5) * (to - from)) / n);
    const zs = centres(window.z0, window.z1, window.nz).subarray(first, last), xs = centres(window.x0, window.x1, window.nx);
    const out = new Float64Array(zs.length * xs.length);
    if (layer === "field") this.field(number, zs, xs, out);
    else if (layer === "latent") this.tiles(number, this.moved(number, change), JSON.stringify(change), zs, xs, out);
    else if (layer === "samples") nearest(this.samples(number), stored.shape, zs, xs, out);
    else if (layer === "bicubic") bicubic(this.samples(number), stored.shape, zs, xs, out);
    else throw new Error(`layer: found ${layer}`);
    if (stored.absent) {
      const absent = this.array(stored.absent), gone = new Float64Array(out.length);
      nearest(absent, stored.shape, zs, xs, gone);
      gone.forEach((yes, i) => { if (yes) out[i] = NaN; });
    }
    return Float32Array.from(out);
  }

  field(number, zs, xs, out) {
    const stored = this.data.models[number];
    if (stored.kind === "latent") {
      this.tiles(number, this.latent(number), "", zs, xs, out);
      return;
    }
    if (isCoarse(zs) && isCoarse(xs)) {
      nearest(this.samples(number), stored.shape, zs, xs, out);
      return;
    }
    if (!this.fields.has(number)) {
      const key = stored.sampler;
      if (!this.samplers.has(key)) this.samplers.set(key, new Sampler(this.tensors(this.data.samplers[key])));
      const values = Float64Array.from(this.array(stored.samples));
      this.fields.set(number, new SampledField(values, ...stored.shape, this.samplers.get(key)));
      if (this.fields.size > KEPT) this.fields.delete(this.fields.keys().next().value);
    }
    this.fields.get(number).fill(zs, xs, out);
    for (let i = 0; i < out.length; i++) out[i] *= stored.scale;
  }

  /** The samples of the native grid in m/s, absent ones filled. */
  samples(number) {
    const stored = this.data.models[number];
    this.native ??= new Map();
    if (!this.native.has(number)) {
      const [nz, nx] = stored.shape;
      let values;
      if (stored.kind === "samples") values = Float64Array.from(this.array(stored.samples), (value) => value * stored.scale);
      else {
        values = new Float64Array(nz * nx);
        const centres = (n) => Float64Array.from({ length: n }, (_, i) => i + 0.5);
        this.tiles(number, this.latent(number), "", centres(nz), centres(nx), values);
      }
      this.native.set(number, values);
      if (this.native.size > KEPT) this.native.delete(this.native.keys().next().value);
    }
    return this.native.get(number);
  }

  /** Blend the renderings of a latent's tiles. */
  tiles(number, { values, low, high }, key, zs, xs, out) {
    const stored = this.data.models[number], decoder = this.decoder(stored.decoder);
    const [z, x] = stored.tiling.map((each) => new Axis(each)), width = xs.length;
    const px = new Float64Array(BATCH), pz = new Float64Array(BATCH), speeds = new Float64Array(BATCH);
    const columns = x.parts([...xs]);
    for (const row of z.parts([...zs])) {
      for (const column of columns) {
        const tile = row.tile * x.tiles + column.tile, least = low[tile], most = high[tile];
        const weights = most > least ? this.weightsOf(`${number} ${tile} ${key}`, decoder, values[tile]) : null;
        const n = column.at.length, total = row.at.length * n;
        for (let first = 0; first < total; first += BATCH) {
          const count = Math.min(BATCH, total - first);
          for (let p = 0; p < count; p++) {
            px[p] = column.local[(first + p) % n];
            pz[p] = row.local[Math.floor((first + p) / n)];
          }
          if (weights) decoder.values(weights, px, pz, count, speeds);
          for (let p = 0; p < count; p++) {
            const i = Math.floor((first + p) / n), j = (first + p) % n;
            const level = Math.min(Math.max(speeds[p] || 0, -1), 1);
            const speed = weights ? Math.min(Math.max(least + ((level + 1) / 2) * (most - least), least), most) : least;
            out[row.at[i] * width + column.at[j]] += speed * row.weight[i] * column.weight[j];
          }
        }
      }
    }
    const least = Math.min(...low), most = Math.max(...high);
    for (let i = 0; i < out.length; i++) out[i] = Math.min(Math.max(out[i], least), most);
  }

  weightsOf(key, decoder, latent) {
    if (!this.weights.has(key)) {
      this.weights.set(key, decoder.weights(latent));
      if (this.weights.size > 8 * KEPT) this.weights.delete(this.weights.keys().next().value);
    }
    return this.weights.get(key);
  }
}

function isCoarse(cells) {
  return cells.length < 2 || cells[1] - cells[0] >= 1;
}

function nearest(samples, [nz, nx], zs, xs, out) {
  const index = (cell, n) => Math.min(Math.max(Math.ceil(cell) - 1, 0), n - 1);
  zs.forEach((z, j) => xs.forEach((x, i) => { out[j * xs.length + i] = samples[index(z, nz) * nx + index(x, nx)]; }));
}

/** Keys's cubic convolution, a = -1/2, held within the range of the samples. */
function bicubic(samples, [nz, nx], zs, xs, out) {
  const inner = (s) => (1.5 * s - 2.5) * s * s + 1, outer = (s) => ((-0.5 * s + 2.5) * s - 4) * s + 2;
  const along = (cells, n) => Array.from(cells, (cell) => {
    const first = Math.floor(cell - 0.5), f = cell - 0.5 - first;
    const weights = [outer(1 + f), inner(f), inner(1 - f), outer(2 - f)];
    return weights.map((weight, k) => [Math.min(Math.max(first - 1 + k, 0), n - 1), weight]);
  });
  const down = along(zs, nz), across = along(xs, nx);
  let least = Infinity, most = -Infinity;
  for (const value of samples) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  down.forEach((rows, j) => across.forEach((columns, i) => {
    let sum = 0;
    for (const [z, a] of rows) for (const [x, b] of columns) sum += a * b * samples[z * nx + x];
    out[j * xs.length + i] = Math.min(Math.max(sum, least), most);
  }));
}

/** Answer the page that made this worker. */
export function answerPage() {
  let reader = null;
  onmessage = ({ data }) => {
    if (data.bytes) {
      reader = new Reader(data.data, data.bytes);
      return;
    }
    try {
      const values = reader.rows(...data.asked);
      postMessage({ id: data.id, values }, [values.buffer]);
    } catch (error) {
      postMessage({ id: data.id, error: error.message });
    }
  };
}
