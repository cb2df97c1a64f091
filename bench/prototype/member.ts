import { Database } from "bun:sqlite";
import { join } from "node:path";
import { Encoder } from "cbor-x/index-no-eval";
import { Hono } from "hono";

/**
 * The bare data path of a write, to compare with: Hono, a log worker, SQLite for the state, CBOR frames
 * to two followers. The first member leads for ever. There are no terms, no elections, no checks, no
 * history of keys; nothing is sent twice and nothing is read back. What coracle needs more than this is
 * the price of being a consensus system.
 *
 *     bun bench/prototype/member.ts FOLDER PORT [PEER_PORT PEER_PORT]
 *
 * With peer ports it leads and serves HTTP on PORT; without it follows on PORT.
 */

interface Put {
  readonly key: string;
  readonly value: Uint8Array;
}

interface Batch {
  readonly index: number;
  /** All batches up to here may be applied. */
  readonly commit: number;
  readonly puts: readonly Put[];
}

/** For how long the state's transaction stays open: as long as coracle's. */
const commitAfterMs = 100;
const codec = new Encoder({ useRecords: false, tagUint8Array: false });

const [folder = "", port = "0", ...peerPorts] = process.argv.slice(2);

class State {
  readonly #database = new Database(join(folder, "state.db"), { create: true });
  readonly #statement;
  #open = false;
  revision = 0;

  constructor() {
    this.#database.run("PRAGMA journal_mode = WAL");
    this.#database.run("PRAGMA synchronous = NORMAL");
    // The log worker does it, beside this thread.
    this.#database.run("PRAGMA wal_autocheckpoint = 0");
    this.#database.run("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB, revision INTEGER) WITHOUT ROWID");
    this.#statement = this.#database.query("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)");
  }

  apply({ puts }: Batch): void {
    if (!this.#open) {
      this.#database.run("BEGIN");
      this.#open = true;
      setTimeout(() => {
        this.#database.run("COMMIT");
        this.#open = false;
      }, commitAfterMs);
    }
    for (const { key, value } of puts) this.#statement.run(key, value, ++this.revision);
  }
}

const state = new State();
const log = new Worker(new URL("./log-worker.ts", import.meta.url));
log.postMessage(folder);

function frame(document: unknown): Buffer {
  const body = codec.encode(document);
  const whole = Buffer.allocUnsafe(body.length + 4);
  whole.writeUInt32BE(body.length);
  body.copy(whole, 4);
  return whole;
}

/** Calls back with the body of every whole frame. */
function unframed(onFrame: (body: Buffer) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      const end = 4 + held.readUInt32BE();
      onFrame(Buffer.from(held.subarray(4, end)));
      held = held.subarray(end);
    }
  };
}

function follow(): void {
  const waiting: Batch[] = [];
  Bun.listen<{ receive: (chunk: Buffer) => void }>({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open(socket) {
        log.onmessage = ({ data }: MessageEvent<number>) => {
          socket.write(frame(data));
        };
        socket.data = {
          receive: unframed((body) => {
            const batch = codec.decode(body) as Batch;
            if (batch.puts.length > 0) {
              waiting.push(batch);
              log.postMessage({ index: batch.index, bytes: body });
            }
            while ((waiting[0]?.index ?? Number.POSITIVE_INFINITY) <= batch.commit)
              state.apply(waiting.shift() as Batch);
          }),
        };
      },
      data: (socket, chunk) => socket.data.receive(chunk),
    },
  });
}

async function lead(): Promise<void> {
  const durable = [0, 0, 0];
  const waiting: { readonly batch: Batch; readonly answer: readonly ((revision: number) => void)[] }[] = [];
  let puts: Put[] = [];
  let answer: ((revision: number) => void)[] = [];
  let index = 0;
  let commit = 0;
  const onDurable = (member: number, upTo: number): void => {
    durable[member] = upTo;
    commit = durable.toSorted((a, b) => a - b)[1] ?? 0;
    while ((waiting[0]?.batch.index ?? Number.POSITIVE_INFINITY) <= commit) {
      const done = waiting.shift();
      if (done === undefined) return;
      let revision = state.revision;
      state.apply(done.batch);
      for (const resolve of done.answer) resolve(++revision);
    }
  };
  log.onmessage = ({ data }: MessageEvent<number>) => onDurable(0, data);
  const peers = await Promise.all(
    peerPorts.map((peerPort, at) => {
      const receive = unframed((body) => onDurable(at + 1, codec.decode(body) as number));
      const socket = { data: (_: unknown, chunk: Buffer): void => receive(chunk) };
      return Bun.connect({ hostname: "127.0.0.1", port: Number(peerPort), socket });
    }),
  );
  const flush = (): void => {
    const batch: Batch = { index: ++index, commit, puts };
    const bytes = frame(batch);
    for (const peer of peers) {
      // With no more in flight than a bench asks for, a frame always fits the socket's buffer.
      if (peer.write(bytes) !== bytes.length) throw new Error("a follower does not keep up");
    }
    log.postMessage({ index, bytes });
    waiting.push({ batch, answer });
    puts = [];
    answer = [];
  };
  const app = new Hono();
  app.put("/v1/kv/:key{.+}", async (context) => {
    const value = new Uint8Array(await context.req.arrayBuffer());
    const key = context.req.param("key");
    const revision = await new Promise<number>((resolve) => {
      if (puts.length === 0) setImmediate(flush);
      puts.push({ key, value });
      answer.push(resolve);
    });
    return context.json({ revision });
  });
  app.get("/revision", (context) => context.json({ revision: state.revision }));
  Bun.serve({ hostname: "127.0.0.1", port: Number(port), fetch: app.fetch, idleTimeout: 255 });
}

if (peerPorts.length === 0) follow();
else await lead();
