import type { Client } from "./checks.ts";

export const patroni: Client = {
  name: "patroni",
  missing: async () => "not yet",
  run: async () => {},
};
