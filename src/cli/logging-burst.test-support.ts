import { getLogger } from "@logtape/logtape";
import { startLogging } from "./logging.ts";

// Far more than a pipe holds, then an exit at once.
startLogging({ levels: { base: "info", rooms: {} }, format: "json" });
const log = getLogger(["coracle", "test"]);
for (let number = 0; number < 5000; number++) log.info("Line {number}.", { number });
process.exit(3);
