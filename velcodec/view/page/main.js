// The page: which of its two parts is shown, and what the address says.

import { fragmentOf, readState } from "./state.js";
import { ServerSource } from "./source.js";
import { PageSource } from "./stored.js";
import { Gallery } from "./gallery.js";
import { ModelView } from "./model.js";
import { pressKey } from "./pointer.js";

const element = (id) => document.getElementById(id);

function say(message) {
  element("alert").textContent = message;
  element("alert").hidden = !message;
}

async function start(source) {
  const archives = await source.archives();
  let state = readState();
  const keep = (patch) => {
    state = { ...state, ...patch };
    model.state = model.state && state;
    gallery.state = state;
    history.replaceState(null, "", fragmentOf(state));
  };
  const go = (patch) => {
    const turn = "model" in patch || "archive" in patch;
    state = { ...state, ...patch };
    history[turn ? "pushState" : "replaceState"](null, "", fragmentOf(state));
    show();
  };
  const step = (by) => {
    const at = Math.max(0, Math.min(gallery.length - 1, (state.at ?? state.model) + by));
    if (gallery.length) go({ model: gallery.numberAt(at), at, share: 0, moves: [] });
  };
  const gallery = new Gallery(source, archives, go);
  const model = new ModelView(source, archives, { go, keep, step, say });

  function show() {
    say("");
    if (!archives[state.archive]) state.archive = 0;
    const about = archives[state.archive];
    const one = state.model !== null;
    element("gallery").hidden = one;
    element("model").hidden = !one;
    element("archive").value = String(state.archive);
    const size = `${about.models.toLocaleString("en")} ${about.models === 1 ? "model" : "models"} in ${about.bytes.toLocaleString("en")} bytes`;
    element("about").textContent = `${archives.length > 1 ? "" : `${about.name} · `}${size}`;
    const home = fragmentOf({ ...state, model: null, x: null, y: null, z: null, mpp: null, well: [], line: [], point: [], share: 0, moves: [], to: "" });
    element("home").href = element("back").href = home;
    const found = gallery.show(state);
    if (one) model.show(state);
    else {
      model.hide();
      document.title = `${about.name} – velcodec`;
      if (before !== false && state.at !== null) found.then(() => gallery.focus(state.at));
    }
    before = one;
  }
  let before = null; // whether one model was shown before

  archives.forEach(({ name }, number) => element("archive").append(new Option(name, number)));
  element("archive-choice").hidden = archives.length < 2;
  element("archive").addEventListener("change", () => go({
    archive: +element("archive").value, model: null, where: [], sort: "", falling: false, at: null,
  }));
  element("help-button").addEventListener("click", () => element("help").showModal());
  addEventListener("hashchange", () => {
    state = readState();
    show();
  });
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || element("help").open) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea")) return;
    if (event.key === "?") element("help").showModal();
    else if (event.key === "Escape" && state.model !== null) location.hash = element("back").hash || "#";
    else if (state.model === null || !pressKey(model, event)) return;
    event.preventDefault();
  });
  source.stayOpen?.(() => say("velcodec was ended; nothing more can be computed."));
  show();
}

const stored = element("velcodec-data") !== null;
const opening = stored ? PageSource.open() : Promise.resolve(new ServerSource());
opening.then((source) => {
  if (stored) globalThis.velcodec = source; // for the console: velcodec.field(0, 0, "field", {...})
  return start(source);
}).catch((error) => say(error.message));
