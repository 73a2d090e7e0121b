// What is known of a model, as a list beside it.

import { shown } from "./colours.js";

/** Samples along the axes, as text. */
export function sizesOf({ nz, ny, nx }) {
  return [nz, ny, nx].filter((size) => size !== undefined).join(" × ");
}

function axesOf({ nz, nx, spacing: [dx, dz] }) {
  return [{ samples: nx, spacing: dx }, { samples: nz, spacing: dz }];
}

/** Fill a list of terms with a model's facts. */
export function showFacts(list, own) {
  const axes = own.volume ? ["x", "y", "z"].map((axis) => own.volume[axis]) : axesOf(own);
  const pairs = [
    ["stored as", own.stored + (own.tiles > 1 ? ` (${own.tiles} tiles)` : "")],
    [own.volume ? "values within" : "range", `${shown(own.low)} to ${shown(own.high)} m/s`],
    ["extent", `${axes.map(({ samples, spacing }) => `${shown(samples * spacing)} m`).join(" × ")} deep`],
    ["spacing", axes.map(({ spacing }) => `${shown(spacing, 0.1)} m`).join(" × ")],
    ["archive holds", `${typeName(own.dtype)} in ${own.units}`],
    ["decoder", own.decoder],
  ];
  if (own.psnr_db !== null && own.psnr_db !== undefined) {
    pairs.push(["PSNR", `${shown(own.psnr_db, 0.1)} dB or more`], ["mean error", `${shown(own.mae_m_s, 0.1)} m/s`],
      ["greatest error", `${shown(own.max_error_m_s, 0.1)} m/s`]);
    if (own.distance !== null) pairs.push(["distance", shown(own.distance, 0.1)]);
  }
  if (own.compared) {
    pairs.push(["true PSNR, SSIM", `${shown(own.compared.psnr, 0.01)} dB, ${shown(own.compared.ssim, 0.0001)}`]);
  }
  for (const [name, value] of Object.entries(own.fields)) {
    if (value !== null && value !== "") pairs.push([name, typeof value === "number" ? shown(value, 0.01) : String(value)]);
  }
  for (const name of ["provenance", "licence"]) if (own[name]) pairs.push([name, own[name]]);
  list.replaceChildren(...pairs.flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

/** `<f4` as float32. */
function typeName(dtype) {
  const kinds = { f: "float", i: "int", u: "uint" };
  return kinds[dtype[1]] ? `${kinds[dtype[1]]}${8 * dtype.slice(2)}` : dtype;
}
