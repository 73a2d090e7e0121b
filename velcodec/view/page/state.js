// What is seen, kept in the address, so that an address can be shared and the back button works.

const TEXTS = ["sort", "map", "range", "show", "with", "other", "to", "tool", "scale"];
const NUMBERS = ["archive", "model", "x", "y", "z", "mpp", "low", "high", "share", "at"];
const FLAGS = ["falling", "contours", "dots", "difference"];
const LISTS = ["moves", "well", "line", "point"];

/** The state that an address's fragment stands for. */
export function readState() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const state = { where: asked.getAll("where") };
  for (const name of TEXTS) state[name] = asked.get(name) ?? "";
  for (const name of NUMBERS) {
    const text = asked.get(name);
    state[name] = text === null || text === "" || !Number.isFinite(+text) ? null : +text;
  }
  for (const name of FLAGS) state[name] = asked.get(name) === "1";
  for (const name of LISTS) {
    const found = (asked.get(name) || "").split(",").filter(Boolean).map(Number);
    state[name] = found.every(Number.isFinite) ? found : [];
  }
  state.archive ??= 0;
  state.map ||= "viridis";
  state.show ||= "velocity";
  state.range ||= "model";
  state.tool ||= "pan";
  state.scale ||= "own";
  return state;
}

const USUAL = { archive: 0, map: "viridis", show: "velocity", range: "model", tool: "pan", scale: "own", share: 0 };

/** The fragment of a state, without what is usual. */
export function fragmentOf(state) {
  const asked = new URLSearchParams();
  for (const text of state.where) asked.append("where", text);
  for (const [name, value] of Object.entries(state)) {
    if (name === "where" || value === null || value === "" || value === false || value === USUAL[name]) continue;
    if (Array.isArray(value)) {
      if (value.some(Boolean)) asked.set(name, value.map(brief).join(","));
    } else asked.set(name, value === true ? "1" : typeof value === "number" ? brief(value) : value);
  }
  return `#${asked}`;
}

function brief(value) {
  return String(+value.toPrecision(7));
}

/** A model as people name it: a number, or else a key. */
export function which(text) {
  return /^\d{1,15}$/.test(text) ? +text : text;
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
