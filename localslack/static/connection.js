// The connection to the server: snapshots come over one WebSocket that opens itself again, acts go out as POSTs.

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5000;

export class Live {
  #socket = null;
  #delay = FIRST_DELAY_MS;
  #look;
  #onSnapshot;
  #onStatus;

  /** `look` is what is being looked at: {user, channel, thread, home}. */
  constructor(look, onSnapshot, onStatus) {
    this.#look = look;
    this.#onSnapshot = onSnapshot;
    this.#onStatus = onStatus;
    this.#connect();
  }

  look(place) {
    this.#look = place;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ look: place }));
  }

  #connect() {
    const query = new URLSearchParams();
    for (const name of ["user", "channel", "thread"]) if (this.#look[name]) query.set(name, this.#look[name]);
    if (this.#look.home) query.set("home", "1");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const asked = this.#look;
    const socket = new WebSocket(`${scheme}//${location.host}/page/live?${query}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#delay = FIRST_DELAY_MS;
      this.#onStatus(true);
      if (this.#look !== asked) this.look(this.#look);
    };
    socket.onmessage = (event) => this.#onSnapshot(JSON.parse(event.data));
    socket.onclose = () => {
      this.#onStatus(false);
      setTimeout(() => this.#connect(), this.#delay);
      this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY_MS);
    };
  }
}

/** Sends one act; answers null, or the sentence that says why it did not happen. */
export async function act(user, body) {
  try {
    const response = await fetch("/page/act", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user, ...body }),
    });
    const answer = await response.json();
    return answer.ok ? null : String(answer.error ?? "That did not work.");
  } catch {
    return "The local Slack cannot be reached. Nothing was sent; try again once it is running.";
  }
}
