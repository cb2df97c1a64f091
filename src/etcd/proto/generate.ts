import { execFileSync } from "node:child_process";
import { join } from "node:path";

/**
 * Makes the TypeScript of every `.proto` file anew, into the folder `gen` beside theirs. The compiler is
 * fetched for this alone: it is large, and what it makes is checked in.
 */

const tools = ["@bufbuild/buf@1.75.0", "@bufbuild/protoc-gen-es@2.17.0"];
const source = join(import.meta.dirname, "..", "..");

for (const room of ["etcd", "grpc"]) {
  const packages = tools.map((tool) => `--package=${tool}`);
  execFileSync("npm", ["exec", "--yes", ...packages, "--", "buf", "generate"], {
    cwd: join(source, room, "proto"),
    stdio: "inherit",
  });
}
