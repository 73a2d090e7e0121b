// The latent space: sliders towards another model and along coordinates.

import { shown } from "./colours.js";
import { which } from "./state.js";

/** Make the sliders of a model's view, and let them move its latent. */
export function listenLatent(view) {
  const { element: e } = view, count = view.archives[0]?.coordinates ?? 0;
  for (let k = 0; k < count; k++) {
    const label = document.createElement("label"), name = document.createElement("span");
    const slider = document.createElement("input"), output = document.createElement("output");
    label.className = "slider";
    name.textContent = `y${k + 1}`;
    Object.assign(slider, { type: "range", min: -3, max: 3, step: 0.05, value: 0, id: `move${k}` });
    slider.setAttribute("aria-label", `coordinate ${k + 1}, standard deviations`);
    label.append(name, slider, output);
    e.moves.append(label);
  }
  e.latent.addEventListener("input", (event) => {
    if (event.target.type !== "range") return;
    if (event.target === e.share && !e.to.value.trim()) return;
    view.go({ share: +e.share.value, moves: slidersOf(view).map((each) => +each.value) });
  });
  e.to.addEventListener("change", () => setTarget(view, e.to.value.trim()));
  e.still.addEventListener("click", () => view.go({ share: 0, moves: [] }));
}

function slidersOf(view) {
  return [...view.element.moves.querySelectorAll("input")];
}

/** Choose the model towards which the latent moves. */
async function setTarget(view, text) {
  try {
    const target = text ? await view.factsOf(view.state.archive, which(text)) : null;
    view.go({ to: target ? String(target.number) : "", share: target ? view.state.share || 0 : 0 });
  } catch (error) {
    view.say(error.message);
  }
}

/** Show the sliders as the state says. */
export function setLatent(view) {
  const { state, element: e } = view;
  if (document.activeElement !== e.to) e.to.value = state.to;
  e.share.value = state.share ?? 0;
  e.share.disabled = state.to === "";
  e.share.nextElementSibling.textContent = shown(state.share ?? 0, 0.01);
  slidersOf(view).forEach((slider, k) => {
    slider.value = state.moves[k] ?? 0;
    slider.nextElementSibling.textContent = `${shown(state.moves[k] ?? 0, 0.1)} σ`;
  });
  e.latent.hidden = view.own?.moves === false;
  if (changeOf(state).share || state.moves.some(Boolean)) e.latent.open = true;
}

/** How a state moves the latent. */
export function changeOf(state) {
  const to = state.to === "" ? null : +state.to;
  return { to, share: to === null ? 0 : state.share ?? 0, moves: state.moves };
}
