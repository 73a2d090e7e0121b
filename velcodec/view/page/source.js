// Where models come from: the server of `velcodec view`. A page on disk has a source of its own
// with the same methods.

export class ServerSource {
  constructor() {
    this.abilities = { find: true };
    this.pace = 2e-4; // milliseconds per pixel, as a first guess
  }

  archives() {
    return this.json("archives", {});
  }

  columns(archive) {
    return this.json("columns", { archive });
  }

  /** Numbers of the models that meet all conditions, in order. */
  async find(archive, where, sort, falling) {
    const asked = new URLSearchParams({ archive, sort, descending: falling ? 1 : 0 });
    for (const text of where) asked.append("where", text);
    const { body } = await this.binary("find", asked);
    return new Uint32Array(body);
  }

  rows(archive, models) {
    return this.json("rows", { archive, models: models.join(",") });
  }

  /** Levels of each model, or its error. */
  async thumbnails(archive, models, pixels) {
    const { about, body } = await this.binary("thumbnails", { archive, models: models.join(","), pixels });
    let at = 0;
    return about.thumbnails.map((each) => {
      const levels = new Uint8Array(body, at, each.nz * each.nx);
      at += levels.length;
      return { ...each, levels };
    });
  }

  /** Facts of a model named by number or key. */
  model(archive, which) {
    return this.json("model", { archive, [typeof which === "number" ? "model" : "key"]: which });
  }

  /** Values (nz, nx) of a layer in a window of a model's cells, in m/s. */
  async field(archive, model, layer, window, change = {}) {
    const asked = { archive, model, layer, ...window };
    if (layer === "latent") {
      if (change.to !== null && change.to !== undefined) asked.to = change.to;
      asked.share = change.share;
      asked.moves = change.moves.join(",");
    }
    const { body } = await this.binary("field", asked);
    return new Float32Array(body);
  }

  async json(name, asked) {
    return (await this.answer(name, asked)).json();
  }

  async binary(name, asked) {
    const data = await (await this.answer(name, asked)).arrayBuffer();
    const length = new DataView(data).getUint32(0, true);
    const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    return { about, body: data.slice(4 + length) };
  }

  async answer(name, asked) {
    let response;
    try {
      response = await fetch(`${name}?${new URLSearchParams(asked)}`);
    } catch {
      throw new Error("velcodec does not answer: was it ended?");
    }
    if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? response.statusText);
    return response;
  }

  /** Tell the server that this page is open, as long as it is. */
  stayOpen(onEnd) {
    const address = new URL("alive", location.href);
    address.protocol = "ws:";
    address.hash = "";
    new WebSocket(address).addEventListener("close", onEnd);
  }
}
