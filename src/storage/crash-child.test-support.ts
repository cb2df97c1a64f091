import { writeSync } from "node:fs";
import { History, historyIdentity, historyStart } from "./history.test-support.ts";
import { SqliteLogStore } from "./sqlite-log.ts";

/*
 * A process that writes its history to a log until it is killed. Each acknowledged write is told on
 * standard output before anything else happens.
 */
const [dir = "", seed = "0", inFlight = "1"] = process.argv.slice(2);
const options = { walBytesMax: 512 * 1024, cacheBytesMax: 64 * 1024 };
const log = SqliteLogStore.exists(dir)
  ? (await SqliteLogStore.open(dir, options)).log
  : await SqliteLogStore.create(dir, historyIdentity, historyStart, options);
const history = new History(Number(seed));
history.skipTo(log.hardState.commit);

function writeNext(): void {
  const { write, cut } = history.next();
  log.write(write, (error) => {
    if (error !== undefined) throw error;
    writeSync(1, `${write.id}\n`);
    writeNext();
  });
  if (cut !== undefined) log.cut(cut);
}

for (let i = 0; i < Number(inFlight); i++) writeNext();
