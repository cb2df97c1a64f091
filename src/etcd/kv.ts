import type { Command, CommandBody, CommandResult } from "../kv/types.ts";
import { answerGate } from "../service/answer-gate.ts";
import type { Service } from "../service/service.ts";
import type { KV } from "./gen/kv_pb.ts";
import { deleteOperation, putOperation, rangeOperation, txnOperation } from "./kv-requests.ts";
import { deleteResponse, putResponse, rangeResponse, txnResponse } from "./kv-responses.ts";
import { headerOf, safeNumber } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { HandlersOf } from "./types.ts";

type Result<T extends CommandResult["type"]> = Extract<CommandResult, { readonly type: T }>;

export function kvHandlers({ kv, cluster, maintenance }: Service): HandlersOf<typeof KV> {
  const propose = async <T extends CommandBody["type"] & CommandResult["type"]>(
    body: Extract<CommandBody, { readonly type: T }>,
  ): Promise<Result<T>> => {
    const command: Command = { body };
    const result = await kv.propose(command);
    await answerGate.turn(result);
    if (result.type !== body.type) throw new Error(`a ${body.type} was answered with a ${result.type}`);
    return result as Result<T>;
  };
  return {
    async range(request, context) {
      const operation = rangeOperation(request);
      const mode = request.serializable ? "serializable" : "linearizable";
      const result = await kv.range(operation, { mode }, () => {
        if (context.aborted) throw refusal("stopped");
        answerGate.admit();
      });
      await answerGate.turn(result);
      return rangeResponse(headerOf(cluster.head(), result.revision), result);
    },
    async put(request) {
      const result = await propose<"put">(putOperation(request));
      return putResponse(headerOf(cluster.head(), result.revision), result);
    },
    async deleteRange(request) {
      const result = await propose<"delete">(deleteOperation(request));
      return deleteResponse(headerOf(cluster.head(), result.revision), result);
    },
    async txn(request) {
      const result = await propose<"txn">(txnOperation(request));
      return txnResponse(headerOf(cluster.head(), result.revision), result);
    },
    async compact(request) {
      const { revision } = await propose<"compact">({
        type: "compact",
        revision: safeNumber(request.revision),
      });
      if (request.physical) await maintenance.compacted();
      return {
        $typeName: "etcdserverpb.CompactionResponse",
        header: headerOf(cluster.head(), revision),
      };
    },
  };
}
