// The models in a page on disk, decoded by workers of its own. It asks no other machine for anything.

const MOST_WORKERS = 4;
const BAND_POINTS = 20000; // that a worker computes before it may be called off

export class PageSource {
  /** Unpack the page's bytes and start workers. */
  static async open() {
    const text = (id) => document.getElementById(id).textContent;
    const packed = Uint8Array.from(atob(text("velcodec-bytes")), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = await new Response(unpacked).arrayBuffer();
    return new PageSource(JSON.parse(text("velcodec-data")), bytes, text("velcodec-reader"));
  }

  constructor(data, bytes, reader) {
    this.abilities = { find: false };
    this.pace = 1e-2; // milliseconds per pixel, as a first guess
    this.about = data.archive;
    this.facts = data.facts;
    const address = URL.createObjectURL(new Blob([reader], { type: "text/javascript" }));
    const { archive, facts, ...needed } = data;
    this.waiting = new Map();
    this.id = 0;
    this.workers = Array.from({ length: Math.min(MOST_WORKERS, navigator.hardwareConcurrency || 2) }, () => {
      const worker = new Worker(address);
      worker.postMessage({ data: needed, bytes });
      worker.onmessage = ({ data: { id, values, error } }) => {
        const { done, fail } = this.waiting.get(id);
        this.waiting.delete(id);
        if (error) fail(new Error(error));
        else done(values);
      };
      return worker;
    });
    this.turn = 0;
  }

  async archives() {
    return [this.about];
  }

  async rows(_, models) {
    return models.map((number) => this.facts[number]);
  }

  async model(_, which) {
    const found = typeof which === "number" ? this.facts[which] : this.facts.find(({ key }) => key === which);
    if (!found) throw new Error(`found no model ${which} in this page`);
    return found;
  }

  async thumbnails(archive, models, pixels) {
    return Promise.all(models.map(async (number) => {
      const { extent: [x0, x1, z0, z1], nz: tall, nx: wide } = this.facts[number], longest = Math.max(x1 - x0, z1 - z0);
      const [nz, nx] = [z1 - z0, x1 - x0].map((metres) => Math.max(1, Math.round((pixels * metres) / longest)));
      try {
        const window = { z0: 0, z1: tall, x0: 0, x1: wide, nz, nx };
        const layer = this.facts[number].stored === "latent" ? "field" : "samples";
        const values = await this.field(archive, number, layer, window);
        const known = values.filter((value) => !Number.isNaN(value)), low = Math.min(...known), high = Math.max(...known);
        const levels = Uint8Array.from(values, (value) => (Number.isNaN(value) ? 255 : high > low ? Math.round((254 * (value - low)) / (high - low)) : 0));
        return { number, nz, nx, low, high, levels };
      } catch (error) {
        return { number, nz: 0, nx: 0, error: error.message };
      }
    }));
  }

  /**
   * Values (nz, nx) of a layer in a window of a model's cells, in m/s. Bands of rows go to all
   * workers; when `stale()`, the rest is not computed.
   */
  async field(_, model, layer, window, change = {}, stale = () => false) {
    const { nz, nx } = window, values = new Float32Array(nz * nx);
    const rows = Math.max(1, Math.min(Math.ceil(nz / this.workers.length), Math.floor(BAND_POINTS / nx)));
    let next = 0;
    const work = async (worker) => {
      while (next < nz && !stale()) {
        const first = next;
        next = Math.min(nz, first + rows);
        values.set(await this.ask(worker, [model, layer, window, change, first, next]), first * nx);
      }
    };
    await Promise.all(this.workers.map(work));
    if (next < nz) throw new Error("called off");
    return values;
  }

  ask(worker, asked) {
    const id = this.id++;
    return new Promise((done, fail) => {
      this.waiting.set(id, { done, fail });
      worker.postMessage({ id, asked });
    });
  }
}
