// Colour maps, and numbers as people read them.

export const SPEED_MAPS = [
  ["viridis", "viridis"],
  ["cividis", "cividis (for colour blindness)"],
  ["magma", "magma"],
  ["gray", "grey"],
];
export const ERROR_MAPS = { viridis: "RdBu", cividis: "PuOr", magma: "RdBu", gray: "PuOr" };

const tables = new Map();

/** 256 pixels of a colour map, as a little-endian ImageData holds them. */
export function tableOf(name) {
  if (!tables.has(name)) {
    const text = COLOUR_MAPS[name];
    const table = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      const rgb = parseInt(text.slice(6 * i, 6 * i + 6), 16);
      table[i] = 0xff000000 | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
    }
    tables.set(name, table);
  }
  return tables.get(name);
}

/** Pixels of values from `low` to `high`; what is not a number is transparent. */
export function paint(values, nz, nx, low, high, table) {
  const image = new ImageData(nx, nz);
  const pixels = new Uint32Array(image.data.buffer);
  const factor = high > low ? 255.999 / (high - low) : 0;
  for (let i = 0; i < pixels.length; i++) {
    const share = (values[i] - low) * factor;
    if (share === share) pixels[i] = table[share < 0 ? 0 : share > 255 ? 255 : share | 0];
  }
  return image;
}

/** Round numbers within `low` to `high`, about `count` of them, and the step between. */
export function ticks(low, high, count) {
  const step = roundStep((high - low) / Math.max(1, count));
  const found = [];
  if (!(step > 0)) return { step: 0, values: [low] };
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return { step, values: found };
}

/** The round number next above a step: 1, 2, 2.5 or 5 and zeros. */
export function roundStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  for (const digit of [1, 2, 2.5, 5, 10]) if (digit * power >= step * (1 - 1e-9)) return digit * power;
  return 10 * power;
}

/** A number with as many decimals as `step` needs. */
export function shown(value, step = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const decimals = step > 0 && step < 1 ? Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)) : 0;
  const fine = step === 2.5 ? 1 : String(step).startsWith("2.5") ? Math.max(decimals, 1) : decimals;
  const text = (Math.abs(value) < 0.5 * 10 ** -fine ? 0 : value).toLocaleString("en", { minimumFractionDigits: fine, maximumFractionDigits: fine });
  return text.replace("-", "−");
}
