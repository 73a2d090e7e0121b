// Thumbnails of any number of models; only those in sight exist.

import { SPEED_MAPS, paint, shown, tableOf } from "./colours.js";
import { sizesOf } from "./facts.js";
import { fragmentOf } from "./state.js";

const BLOCK = 12; // models asked for together
const BLOCKS_KEPT = 320;
const PIXELS = 96; // of a thumbnail
const CARD = { width: 168, height: 190 };
const TALLEST = 8e6; // pixels that a browser scrolls without trouble

export class Gallery {
  constructor(source, archives, go) {
    Object.assign(this, { source, archives, go });
    for (const id of ["scroller", "cards", "count", "filters", "condition", "conditions", "sort", "descending", "chips"]) {
      this[id] = document.getElementById(id);
    }
    this.map = document.getElementById("gallery-map");
    this.range = document.getElementById("gallery-range");
    for (const [value, text] of SPEED_MAPS) this.map.append(new Option(text, value));
    this.live = new Map();
    this.focused = 0;
    this.scroller.addEventListener("scroll", () => this.lay(), { passive: true });
    new ResizeObserver(() => this.lay()).observe(this.scroller);
    this.filters.addEventListener("submit", (event) => this.add(event));
    this.sort.addEventListener("change", () => this.go({ sort: this.sort.value }));
    this.descending.addEventListener("click", () => this.go({ falling: !this.state.falling }));
    this.map.addEventListener("change", () => this.go({ map: this.map.value }));
    this.range.addEventListener("change", () => this.go({ scale: this.range.value }));
    this.cards.addEventListener("keydown", (event) => this.step(event));
    this.cards.addEventListener("focusin", (event) => {
      const card = event.target.closest("li");
      if (card) this.focused = +card.dataset.at;
    });
    for (const each of document.querySelectorAll(".finding")) each.hidden = !source.abilities.find;
  }

  /** Show what the state asks for. */
  async show(state) {
    const query = JSON.stringify([state.archive, state.where, state.sort, state.falling]);
    const look = `${state.map} ${state.scale}`;
    const changed = query !== this.query, repaint = look !== this.look;
    this.state = state;
    this.query = query;
    this.look = look;
    this.map.value = state.map;
    this.range.value = state.scale;
    this.descending.setAttribute("aria-pressed", state.falling);
    if (changed) await this.find(state);
    else if (repaint) {
      this.clear();
      if (this.length) this.tell();
    }
    this.lay();
  }

  async find(state) {
    const about = this.archives[state.archive];
    const query = this.query;
    this.showChips(state);
    if (this.named !== state.archive && this.source.abilities.find) {
      this.named = state.archive;
      this.nameColumns(state.archive);
    }
    this.sort.value = state.sort;
    let order = null;
    if (state.where.length || state.sort || state.falling) {
      try {
        order = await this.source.find(state.archive, state.where, state.sort || "number", state.falling);
      } catch (error) {
        if (query === this.query) this.fail(error.message);
        return;
      }
    }
    if (query !== this.query) return;
    this.order = order;
    this.length = order ? order.length : about.models;
    this.blocks = new Map();
    this.shared = null;
    this.clear();
    this.tell();
    this.scroller.scrollTop = 0;
    this.focused = 0;
  }

  /** Say how many models are shown, and the range that their colours share. */
  tell() {
    const { models } = this.archives[this.state.archive], all = models.toLocaleString("en");
    const some = this.length === models ? all : `${this.length.toLocaleString("en")} of ${all}`;
    const shared = this.state.scale === "shared" && this.shared;
    this.count.className = "quiet";
    this.count.textContent = `${some} ${models === 1 ? "model" : "models"}${shared ? `, colours from ${shown(shared.low)} to ${shown(shared.high)} m/s` : ""}`;
  }

  fail(message) {
    this.order = new Uint32Array(0);
    this.length = 0;
    this.clear();
    this.warn(message);
  }

  warn(message) {
    this.count.className = "failed";
    this.count.textContent = message;
  }

  async nameColumns(archive) {
    this.sort.replaceChildren(new Option("number", ""));
    let columns;
    try {
      columns = await this.source.columns(archive);
    } catch (error) {
      this.warn(error.message);
      return;
    }
    if (this.named !== archive) return;
    for (const { name } of columns) if (name !== "number") this.sort.append(new Option(name, name));
    this.sort.value = this.state.sort;
    const hints = columns.flatMap(({ name, texts, choices }) =>
      choices?.length ? choices.map((text) => `${name}=${text}`) : [texts ? `${name}=` : `${name}>=`]);
    this.conditions.replaceChildren(...hints.map((text) => new Option("", text)));
  }

  add(event) {
    event.preventDefault();
    const text = this.condition.value.trim();
    if (!text) return;
    this.condition.value = "";
    this.go({ where: [...this.state.where.filter((each) => each !== text), text] });
  }

  showChips(state) {
    this.chips.replaceChildren(...state.where.map((text) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", `Remove the filter ${text}`);
      button.addEventListener("click", () => this.go({ where: this.state.where.filter((each) => each !== text) }));
      item.append(button);
      return item;
    }));
  }

  clear() {
    for (const { item } of this.live.values()) item.remove();
    this.live.clear();
  }

  /** Where cards stand: columns, size, and the height of all rows. */
  get plan() {
    const wide = this.scroller.clientWidth, high = this.scroller.clientHeight;
    const columns = Math.max(2, Math.floor((wide - 8) / CARD.width));
    const width = Math.floor((wide - 8) / columns), height = CARD.height;
    const tall = Math.ceil(this.length / columns) * height + 8;
    const scrolled = Math.min(tall, TALLEST);
    // Of very many models a step of the scroll bar means more than a pixel.
    const top = tall > scrolled ? (this.scroller.scrollTop * (tall - high)) / Math.max(1, scrolled - high) : this.scroller.scrollTop;
    return { columns, width, height, scrolled, top, high, shift: this.scroller.scrollTop - top };
  }

  /** Make the cards in sight and drop the others. */
  lay() {
    if (this.length === undefined || !this.scroller.clientHeight) return;
    const plan = this.plan;
    this.cards.style.height = `${plan.scrolled}px`;
    const first = Math.max(0, Math.floor(plan.top / plan.height) - 1) * plan.columns;
    const last = Math.min(this.length, (Math.ceil((plan.top + plan.high) / plan.height) + 1) * plan.columns);
    for (const [at, { item }] of this.live) {
      if (at < first || at >= last) {
        item.remove();
        this.live.delete(at);
      }
    }
    for (let at = first; at < last; at++) {
      let card = this.live.get(at);
      if (!card) {
        card = this.make(at);
        this.live.set(at, card);
        this.cards.append(card.item);
      }
      const left = 4 + (at % plan.columns) * plan.width;
      const top = 4 + Math.floor(at / plan.columns) * plan.height + plan.shift;
      card.item.style.cssText = `left:${left}px;top:${top}px;width:${plan.width}px;height:${plan.height}px`;
    }
    this.load(first, last);
  }

  numberAt(at) {
    return this.order ? this.order[at] : at;
  }

  make(at) {
    const item = document.createElement("li"), link = document.createElement("a");
    const picture = document.createElement("span"), canvas = document.createElement("canvas");
    const name = document.createElement("span"), about = document.createElement("span");
    item.dataset.at = at;
    item.setAttribute("aria-setsize", this.length);
    item.setAttribute("aria-posinset", at + 1);
    link.className = "card";
    link.tabIndex = at === this.focused ? 0 : -1;
    link.href = fragmentOf({ ...this.state, model: this.numberAt(at), at });
    picture.className = "picture";
    name.className = "name";
    about.className = "about";
    name.textContent = String(this.numberAt(at));
    canvas.setAttribute("aria-hidden", "true");
    picture.append(canvas);
    link.append(picture, name, about);
    item.append(link);
    const card = { item, link, canvas, picture, name, about };
    this.fill(at, card);
    return card;
  }

  /** What is known of a card's model. */
  fill(at, card) {
    const block = this.blocks.get(Math.floor(at / BLOCK));
    const k = at % BLOCK;
    const row = block?.rows?.[k], thumbnail = block?.thumbnails?.[k];
    if (row && !card.told) {
      card.told = true;
      card.name.textContent = row.key;
      card.name.title = row.key;
      const parts = [sizesOf(row), `${row.bytes.toLocaleString("en")} B`];
      if (row.psnr_db !== undefined && row.psnr_db !== null) parts.push(`${shown(row.psnr_db, 0.1)} dB`);
      card.about.textContent = parts.join(" · ");
      card.about.title = card.about.textContent;
    }
    if (!thumbnail || card.painted) return;
    card.painted = true;
    if (thumbnail.error) {
      const failed = document.createElement("span");
      failed.className = "failed";
      failed.textContent = thumbnail.error;
      card.picture.replaceChildren(failed);
      return;
    }
    const { nz, nx, low, high, levels } = thumbnail;
    let values = levels, from = 0, to = 254;
    if (this.state.scale === "shared" && this.shared) {
      const step = (high - low) / 254;
      from = step > 0 ? (this.shared.low - low) / step : this.shared.low - low;
      to = step > 0 ? (this.shared.high - low) / step : this.shared.high - low;
    }
    values = Float32Array.from(levels, (level) => (level === 255 ? NaN : level));
    card.canvas.width = nx;
    card.canvas.height = nz;
    card.canvas.getContext("2d").putImageData(paint(values, nz, nx, from, to, tableOf(this.state.map)), 0, 0);
    card.link.setAttribute("aria-label", `${card.name.textContent}, ${card.about.textContent}, ${shown(low)} to ${shown(high)} m/s`);
  }

  /** Ask for the blocks in sight, one after the other, those in sight last asked for first. */
  async load(first, last) {
    this.wanted = [];
    for (let block = Math.floor(first / BLOCK); block * BLOCK < last; block++) this.wanted.push(block);
    if (this.loading) return;
    this.loading = true;
    for (;;) {
      const blocks = this.blocks;
      const block = this.wanted.find((each) => !blocks.has(each));
      if (block === undefined) break;
      const models = [];
      for (let at = block * BLOCK; at < Math.min(this.length, (block + 1) * BLOCK); at++) models.push(this.numberAt(at));
      const found = {};
      blocks.set(block, found);
      if (blocks.size > BLOCKS_KEPT) blocks.delete(blocks.keys().next().value);
      const { archive } = this.state;
      const both = [this.source.thumbnails(archive, models, PIXELS), this.source.rows(archive, models)];
      const [thumbnails, rows] = await Promise.allSettled(both);
      if (blocks !== this.blocks) continue;
      Object.assign(found, { thumbnails: thumbnails.value, rows: rows.value });
      const failed = [thumbnails, rows].find(({ reason }) => reason);
      if (failed) this.warn(failed.reason.message);
      if (thumbnails.reason && rows.reason) {
        blocks.delete(block); // asked for again when it is next in sight
        break;
      }
      if (found.thumbnails) this.widen(found.thumbnails);
      for (const [at, card] of this.live) if (Math.floor(at / BLOCK) === block) this.fill(at, card);
    }
    this.loading = false;
  }

  /** Widen the range that all thumbnails share. */
  widen(found) {
    const known = found.filter((each) => !each.error);
    if (!known.length) return;
    const low = Math.min(...known.map((each) => each.low), this.shared?.low ?? Infinity);
    const high = Math.max(...known.map((each) => each.high), this.shared?.high ?? -Infinity);
    const wider = !this.shared || low < this.shared.low || high > this.shared.high;
    this.shared = { low, high };
    this.tell();
    if (!wider || this.state.scale !== "shared") return;
    for (const [at, card] of this.live) {
      card.painted = false;
      this.fill(at, card);
    }
  }

  /** Arrow keys go from card to card. */
  step(event) {
    const { columns, height } = this.plan;
    const rows = Math.max(1, Math.floor(this.scroller.clientHeight / height)) * columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: rows, PageUp: -rows,
      Home: -Infinity, End: Infinity };
    const by = steps[event.key];
    if (by === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.focus(this.focused + by);
  }

  focus(at) {
    if (!this.length) return;
    this.focused = Math.max(0, Math.min(this.length - 1, at));
    this.reveal(this.focused);
    for (const [each, card] of this.live) card.link.tabIndex = each === this.focused ? 0 : -1;
    this.live.get(this.focused)?.link.focus({ preventScroll: true });
  }

  /** Scroll so that a card is in sight. */
  reveal(at) {
    const plan = this.plan, top = Math.floor(at / plan.columns) * plan.height;
    const tall = Math.ceil(this.length / plan.columns) * plan.height + 8;
    const perPixel = tall > plan.scrolled ? (tall - plan.high) / Math.max(1, plan.scrolled - plan.high) : 1;
    if (top < plan.top) this.scroller.scrollTop = top / perPixel;
    else if (top + plan.height > plan.top + plan.high) this.scroller.scrollTop = (top + plan.height + 8 - plan.high) / perPixel;
    this.lay();
  }
}
