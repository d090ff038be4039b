// The WebSocket: JSON both ways, and frames as a header with pictures behind it.
const AGAIN = [500, 1000, 2000, 4000, 8000]; // milliseconds before the next try

export class Connection {
  /** `on` has a function for each type of message, and `frame(header, blobs)`, `lost(seconds)`. */
  constructor(world, on) {
    this.world = world;
    this.on = on;
    this.tries = 0;
    this.wanted = true;
    this.beat = setInterval(() => this.send({ type: "ping", at: Math.round(performance.now()) }), 1000);
    this.leave = () => this.socket.close(1000); // a page that is kept for "back" would keep the place, too
    addEventListener("pagehide", this.leave);
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/play`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.send({ type: "play", world: this.world }));
    socket.addEventListener("message", ({ data }) => this.receive(data));
    socket.addEventListener("close", () => this.lost());
    this.socket = socket;
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  receive(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "world") this.tries = 0;
      if (message.type === "bye") this.wanted = message.again;
      this.on[message.type]?.(message);
      return;
    }
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    let at = 4 + length;
    const blobs = header.sizes.map((size) => {
      const blob = new Blob([new Uint8Array(data, at, size)], { type: "image/jpeg" });
      at += size;
      return blob;
    });
    this.on.frame(header, blobs);
  }

  lost() {
    if (!this.wanted) return;
    const wait = AGAIN[Math.min(this.tries, AGAIN.length - 1)];
    this.tries += 1;
    this.on.lost(this.tries);
    this.timer = setTimeout(() => this.open(), wait);
  }

  close() {
    this.wanted = false;
    removeEventListener("pagehide", this.leave);
    clearInterval(this.beat);
    clearTimeout(this.timer);
    this.socket.close(1000);
  }
}
